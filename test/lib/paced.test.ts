import t from 'tap'
import { Paced } from '../../lib/paced.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

t.test('at most 64 are handed out per turn of the event loop, in order, and none before it is due', async t => {
  const clock = new FakeClock()
  const taken: number[][] = []
  const paced = new Paced<number>(clock, items => { taken.push(items) })
  for (let i = 0; i < 130; i++) paced.add(i, i < 100 ? 10 : 500)
  clock.advance(9)
  t.same(taken, [])
  clock.advance(1)
  t.same(taken.map(items => items.length), [64])
  t.equal(clock.timers, 0, 'the next turn comes first')
  clock.nextTurn()
  clock.advance(0)
  clock.nextTurn()
  t.same(taken.map(items => items.length), [64, 36])
  clock.advance(489)
  t.equal(taken.length, 2)
  clock.advance(1)
  t.same(taken.flat(), Array.from({ length: 130 }, (_, i) => i))
})

t.test('what is due already follows in the next turn, without a timer', async t => {
  const clock = new FakeClock()
  const taken: number[][] = []
  const paced = new Paced<number>(clock, items => { taken.push(items) })
  for (let i = 0; i < 130; i++) paced.add(i, 10)
  clock.advance(10)
  for (const lengths of [[64, 64], [64, 64, 2]]) {
    clock.nextTurn()
    t.same(taken.map(items => items.length), lengths)
    t.equal(clock.timers, 0)
  }
  clock.nextTurn()
  t.equal(clock.waiting, 0, 'nothing is left')
  paced.add(130, 10)
  t.equal(taken.length, 3, 'whoever adds is not interrupted')
  clock.advance(0)
  t.same(taken.flat(), Array.from({ length: 131 }, (_, i) => i))
})

t.test('stop() forgets what waits, and it can go on', async t => {
  const clock = new FakeClock()
  const taken: string[] = []
  const paced = new Paced<string>(clock, items => { taken.push(...items) })
  paced.add('first', 10)
  paced.stop()
  t.equal(clock.timers, 0)
  paced.add('second', 0)
  await clock.pass(100)
  t.same(taken, ['second'])
})
