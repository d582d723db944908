import t from 'tap'
import { FakeClock } from './fake-clock.ts'

t.test('timers fire in the order in which they are due, at their time', async t => {
  const clock = new FakeClock()
  const fired: string[] = []
  const note = (name: string) => () => { fired.push(`${name} at ${clock.now()}`) }
  clock.after(20, note('b'))
  clock.after(10, note('a'))
  const end = clock.every(15, note('tick'))
  const cancel = clock.after(5, note('never'))
  cancel()
  clock.advance(30)
  t.same(fired, ['a at 10', 'tick at 15', 'b at 20', 'tick at 30'])
  t.equal(clock.now(), 30)
  t.equal(clock.timers, 1)
  end()
  t.equal(clock.timers, 0)
})

t.test('what is asked for in a turn waits for the next one', async t => {
  const clock = new FakeClock()
  const done: number[] = []
  clock.turn(() => { done.push(1); clock.turn(() => { done.push(2) }) })
  t.equal(clock.waiting, 1)
  clock.nextTurn()
  t.same(done, [1])
  clock.nextTurn()
  t.same(done, [1, 2])
})

t.test('pass() lets promises, turns and timers lead to one another', async t => {
  const clock = new FakeClock()
  const times: number[] = []
  const steps = async (): Promise<void> => {
    await new Promise<void>(resolve => { clock.turn(resolve) })
    await new Promise<void>(resolve => { clock.after(100, resolve) })
    times.push(clock.now())
    await new Promise<void>(resolve => { clock.after(100, resolve) })
    times.push(clock.now())
  }
  const finished = steps()
  await clock.pass(250)
  await finished
  t.same(times, [100, 200])
  t.equal(clock.now(), 250)
})
