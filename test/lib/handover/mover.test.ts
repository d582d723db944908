import t from 'tap'
import { Mover, type Movable } from '../../../lib/handover/mover.ts'
import type { Order } from '../../../lib/handover/protocol.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'

interface Item extends Movable {
  handle: object | null
  isFree: boolean
  /** What the mover has done with it. */
  readonly done: string[]
}

const luggage = { age: 7, requests: 3, isFresh: false }

/** A mover, and connections that have numbers; `words` speaks of these, not of the ids that they have on the channel. */
function setUp () {
  const clock = new FakeClock()
  const said: Order[] = []
  const handles: unknown[] = []
  const numbers = new Map<number, number>()
  let count = 0
  let stuck = 0
  const channel = {
    send (order: Order, handle?: object) {
      said.push(order)
      handles.push(handle)
      if (order.type === 'offer') numbers.set(order.id, (handle as { number: number }).number)
    }
  }
  const mover = new Mover({ channel, clock, onStuck: () => { stuck++ } })
  const item = ({ listener = 4, onRelease = () => {}, number = ++count } = {}): Item => {
    const done: string[] = []
    return {
      listener, handle: { number }, isFree: true, done, describe: () => luggage, release: () => { done.push('released'); onRelease() }, keep: () => { done.push('kept') }
    }
  }
  /** As many of them, offered in one batch as far as they fit into it. */
  const offered = (count: number): Item[] => {
    const first = item({ number: 0 })
    mover.offer(first)
    const items = Array.from({ length: count }, () => item())
    for (const one of items) mover.offer(one)
    mover.forget(first)
    said.splice(0, 2)
    return items
  }
  const idOf = (number: number): number => {
    const [id] = [...numbers].find(([, other]) => other === number) ?? []
    if (id === undefined) throw new Error(`${number} was not offered`)
    return id
  }
  /** The successor has got the descriptors of these. */
  const have = (...which: number[]): void => { for (const number of which) mover.hear({ type: 'have', id: idOf(number) }) }
  const took = (...which: number[]): void => mover.hear({ type: 'took', ids: which.map(idOf) })
  const inWords = (order: Order): string => {
    const ids = order.type === 'offer' ? [order.id] : order.type === 'yours' ? order.connections.map(({ id }) => id) : order.type === 'forget' ? order.ids : []
    return [order.type, ...ids.map(id => numbers.get(id))].join(' ')
  }
  /** What was said since the last time. */
  const words = (): string[] => said.splice(0).map(inWords)
  return { mover, clock, item, offered, have, took, words, said, handles, stuck: () => stuck }
}

/** The numbers from 1 to `last`. */
const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i)

/** Whether it is settled at this moment. */
async function isSettled (mover: Mover): Promise<boolean> {
  let settled = false
  mover.settled().then(() => { settled = true })
  await new Promise(resolve => setImmediate(resolve))
  return settled
}

t.test('a connection moves in two steps: its descriptor, then its ownership', async t => {
  const { mover, clock, item, said, handles, took } = setUp()
  const one = item({ listener: 5 })
  mover.offer(one)
  t.same(said, [{ type: 'offer', id: 1, listener: 5 }])
  t.equal(handles[0], one.handle)
  t.same(one.done, [], 'it is served here')
  t.notOk(mover.hasGiven)

  mover.hear({ type: 'have', id: 1 })
  t.same(said[1], { type: 'yours', connections: [{ id: 1, ...luggage }] })
  t.equal(handles[1], undefined)
  t.same(one.done, ['released'])
  t.ok(mover.hasGiven)
  t.notOk(await isSettled(mover), 'the successor has not said that it serves it')

  took(1)
  t.ok(await isSettled(mover))
  t.equal(said.length, 2)
  t.equal(clock.timers, 0)
})

t.test('our copy is closed before the successor is told that it may read', async t => {
  const { mover, item, have, said } = setUp()
  let orders = -1
  mover.offer(item({ onRelease: () => { orders = said.length } }))
  have(1)
  t.equal(orders, 1, 'nothing but the offer')
})

t.test('what never had anything to move is settled', async t => {
  const { mover, clock } = setUp()
  t.ok(await isSettled(mover))
  mover.hear({ type: 'hello', speaks: [1] })
  mover.hear({ type: 'ready', listeners: [4] })
  t.equal(clock.timers, 0)
})

t.test('descriptors go in batches of 16, and while some are on their way nothing is given', async t => {
  const { mover, offered, have, words, took } = setUp()
  const items = offered(40)
  t.same(words(), upTo(16).map(id => `offer ${id}`))
  have(...upTo(15))
  t.same(words(), [], 'what was said now would wait behind the sixteenth')
  have(16)
  t.same(words(), [`yours ${upTo(16).join(' ')}`, ...upTo(32, 17).map(id => `offer ${id}`)])
  took(...upTo(16))
  t.same(words(), [])
  have(...upTo(32, 17))
  t.same(words(), [`yours ${upTo(32, 17).join(' ')}`, ...upTo(40, 33).map(id => `offer ${id}`)])
  have(...upTo(40, 33))
  t.same(words(), [], 'the successor has not begun with the second batch')
  took(...upTo(32, 17))
  t.same(words(), [`yours ${upTo(40, 33).join(' ')}`])
  t.notOk(await isSettled(mover))
  took(...upTo(40, 33))
  t.ok(await isSettled(mover))
  t.ok(items.every(({ done }) => done.join() === 'released'))
})

t.test('no more than 16 change hands at once, however many have become free', async t => {
  const { mover, offered, have, words, took } = setUp()
  const items = offered(20)
  for (const item of items) item.isFree = false
  have(...upTo(20))
  t.same(words(), upTo(20).map(id => `offer ${id}`))
  mover.offer(items[0] as Item)
  t.same(words(), [], 'it is held, and not free')
  for (const item of items) item.isFree = true
  // What is under way holds up the rest.
  const [last] = offered(1)
  for (const item of items) mover.offer(item)
  t.same(words(), ['offer 21'])
  mover.forget(last as Item)
  t.same(words(), ['forget 21', `yours ${upTo(16).join(' ')}`])
  took(...upTo(15))
  t.same(words(), [], 'a batch is over when all of it was taken')
  took(16)
  t.same(words(), ['yours 17 18 19 20'])
})

t.test('nobody is offered twice', async t => {
  const { mover, item, have, words, took } = setUp()
  const one = item()
  mover.offer(one)
  mover.offer(one)
  t.same(words(), ['offer 1'])
  have(1)
  t.same(words(), ['yours 1'])
  have(1)
  took(1)
  took(1)
  t.same(words(), [])
  t.same(one.done, ['released'])
})

t.test('one that got busy while its descriptor travelled moves when it is free again', async t => {
  const { mover, item, have, words } = setUp()
  const one = item()
  mover.offer(one)
  one.isFree = false
  have(1)
  t.same(words(), ['offer 1'])
  t.ok(await isSettled(mover), 'nothing moves, and nothing could')
  one.isFree = true
  mover.offer(one)
  t.same(words(), ['yours 1'])
  t.same(one.done, ['released'])
})

t.test('one that was busy and is free again at the moment of the last descriptor moves with the others', async t => {
  const { offered, have, words } = setUp()
  const [first] = offered(2) as [Item, Item]
  first.isFree = false
  have(1)
  first.isFree = true
  have(2)
  t.same(words(), ['offer 1', 'offer 2', 'yours 1 2'])
})

t.test('one that got busy behind "have", while others held it up, is left out', async t => {
  const { mover, offered, have, words, took } = setUp()
  const [first, second] = offered(2) as [Item, Item]
  have(1)
  first.isFree = false
  have(2)
  t.same(words(), ['offer 1', 'offer 2', 'yours 2'])
  t.same([first.done, second.done], [[], ['released']])
  first.isFree = true
  mover.offer(first)
  t.same(words(), [], 'the other one was not taken yet')
  took(2)
  t.same(words(), ['yours 1'])
})

t.test('whoever closes in the queue is not spoken of', async t => {
  const { mover, offered, have, words, took } = setUp()
  const items = offered(18)
  mover.forget(items[16] as Item)
  have(...upTo(16))
  t.same(words().slice(-1), ['offer 18'])
  have(18)
  took(...upTo(16))
  t.same(words(), ['yours 18'])
  t.same([items[16]?.done, items[17]?.done], [[], ['released']])
})

t.test('whoever has no handle any more when its turn comes is not spoken of', async t => {
  const { mover, offered, item, have, words, took } = setUp()
  const items = offered(17)
  items[16]!.handle = null
  have(...upTo(16))
  t.same(words().slice(-1), [`yours ${upTo(16).join(' ')}`])
  took(...upTo(16))
  t.ok(await isSettled(mover))
  const gone = item()
  gone.handle = null
  mover.offer(gone)
  t.same(words(), [])
  t.ok(await isSettled(mover))
})

t.test('whoever closes while its descriptor travels is forgotten, and the others go on', async t => {
  const { mover, offered, have, words, took } = setUp()
  const [first] = offered(2) as [Item, Item]
  have(2)
  t.same(words(), ['offer 1', 'offer 2'])
  mover.forget(first)
  t.same(words(), ['forget 1', 'yours 2'])
  have(1)
  took(2)
  t.same(words(), [], 'what the successor says of it crosses the word')
  t.same(first.done, [])
  t.ok(await isSettled(mover))
})

t.test('whoever closes while the successor holds its descriptor is forgotten', async t => {
  const { mover, offered, have, words, item } = setUp()
  const [free, busy] = offered(3) as [Item, Item]
  busy.isFree = false
  have(1, 2)
  mover.forget(free)
  have(3)
  t.same(words(), ['offer 1', 'offer 2', 'offer 3', 'forget 1', 'yours 3'])
  mover.forget(busy)
  t.same(words(), ['forget 2'])
  mover.forget(busy)
  mover.forget(item())
  t.same(words(), [], 'once')
})

t.test('whoever has been given away is not ours to forget', async t => {
  const { mover, item, have, words } = setUp()
  // Releasing it closes it.
  const one = item({ onRelease: () => mover.forget(one) })
  mover.offer(one)
  have(1)
  t.same(words(), ['offer 1', 'yours 1'])
  t.notOk(await isSettled(mover))
})

t.test('the last one that closes settles it', async t => {
  for (const isHeld of [false, true]) {
    const { mover, clock, offered, have } = setUp()
    const [first, last] = offered(2) as [Item, Item]
    if (isHeld) have(1)
    const settled = mover.settled()
    mover.forget(first)
    mover.forget(last)
    await settled
    t.equal(clock.timers, 0)
  }
})

t.test('everybody who waits hears that it is settled, now and later', async t => {
  const { mover, offered, have, took } = setUp()
  offered(1)
  const waiting = Promise.all([mover.settled(), mover.settled()])
  have(1)
  took(1)
  await waiting
  await mover.settled()
  offered(1)
  t.notOk(await isSettled(mover), 'another one moves')
})

t.test('a successor that takes more than 5 s for a step is stuck', async t => {
  for (const [name, steps] of [
    ['to receive', 0],
    ['to serve', 1]
  ] as const) {
    const { clock, offered, have, stuck } = setUp()
    offered(1)
    for (let i = 0; i < steps; i++) {
      await clock.pass(4999)
      have(1)
    }
    await clock.pass(4999)
    t.equal(stuck(), 0, name)
    await clock.pass(1)
    t.equal(stuck(), 1, name)
    await clock.pass(60_000)
    t.equal(stuck(), 1, 'it is told once')
  }
})

t.test('a successor that does nothing is stuck, however many others want to go there meanwhile', async t => {
  const { mover, clock, offered, item, stuck } = setUp()
  offered(1)
  for (let i = 0; i < 4; i++) {
    await clock.pass(1000)
    mover.offer(item())
    const short = item()
    mover.offer(short)
    mover.forget(short)
  }
  await clock.pass(1000)
  t.equal(stuck(), 1)
})

t.test('a successor that has nothing to do is not stuck, whatever it holds', async t => {
  const { clock, offered, have, stuck } = setUp()
  const [busy] = offered(1) as [Item]
  busy.isFree = false
  have(1)
  await clock.pass(60_000)
  t.equal(stuck(), 0)
  t.equal(clock.timers, 0)
})

t.test('when the successor is lost, whatever it has not been given stays, once', async t => {
  const { mover, clock, offered, item, have, words, took } = setUp()
  const items = offered(36)
  items[0]!.isFree = false
  have(...upTo(16))
  have(17, 18)
  words()
  const settled = mover.settled()
  mover.lost()
  t.same(words(), [`forget ${[...upTo(32, 19), 1, 17, 18].join(' ')}`])
  await settled
  t.equal(clock.timers, 0)
  const expected = items.map((_item, i) => i > 0 && i < 16 ? ['released'] : ['kept'])
  t.same(items.map(({ done }) => done), expected)

  // Whatever the two sides had said when they lost each other.
  mover.lost()
  have(19, 20)
  took(...upTo(16))
  for (const one of items) mover.forget(one)
  const late = item()
  mover.offer(late)
  mover.forget(late)
  t.same(late.done, ['kept'])
  t.same(words(), [])
  t.same(items.map(({ done }) => done), expected)
  t.ok(await isSettled(mover))
  t.equal(clock.timers, 0)
  t.ok(mover.hasGiven)
})

t.test('in each state of a connection, losing the successor means the same: given is given, the rest stays', async t => {
  for (const [state, steps, end, said] of [
    ['queued', ({ have }) => have(), 'kept', []],
    ['offered', ({ have }) => have(...upTo(16)), 'kept', ['forget 17']],
    ['held, and waiting for the batch before', ({ have }) => have(...upTo(17)), 'kept', ['forget 17']],
    ['given', ({ have, took }) => { have(...upTo(17)); took(...upTo(16)) }, 'released', []],
    ['taken', ({ have, took }) => { have(...upTo(17)); took(...upTo(16)); took(17) }, 'released', []]
  ] as Array<[string, (steps: ReturnType<typeof setUp>) => void, string, string[]]>) {
    const all = setUp()
    const last = all.offered(17)[16] as Item
    steps(all)
    all.words()
    all.mover.lost()
    t.same(last.done, [end], state)
    t.same(all.words(), state === 'queued' ? [`forget ${upTo(16).join(' ')}`] : said, state)
    t.equal(all.mover.hasGiven, state !== 'queued')
  }
})

t.test('a successor that is lost before anything was offered loses nothing', async t => {
  const { mover, clock, words } = setUp()
  mover.lost()
  t.same(words(), [])
  t.equal(clock.timers, 0)
  t.notOk(mover.hasGiven)
})
