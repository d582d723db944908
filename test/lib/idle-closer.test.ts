import t from 'tap'
import type { Connection } from '../../lib/connection.ts'
import { IdleCloser } from '../../lib/idle-closer.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

interface FakeConnection extends Connection {
  isQuiet: boolean
  socket: Connection['socket'] & { bytesRead: number }
}

function setUp () {
  const clock = new FakeClock()
  const closer = new IdleCloser(clock)
  const left: number[] = []
  const connections: FakeConnection[] = []
  const connection = (): FakeConnection => {
    const number = connections.length
    const made = {
      isQuiet: true,
      session: null as Connection['session'],
      socket: { bytesRead: 0 },
      leave (peerCloseTimeout: number) {
        if (peerCloseTimeout !== 0) throw new Error('an idle connection is closed at once')
        left.push(number)
        made.isQuiet = false
      }
    }
    connections.push(made as unknown as FakeConnection)
    return made as unknown as FakeConnection
  }
  return { clock, closer, left, connection }
}

const upTo = (end: number): number[] => Array.from({ length: end }, (_, i) => i)

t.test('a connection is closed when its time is over, and not before', async t => {
  const { clock, closer, left, connection } = setUp()
  closer.add(connection(), 100)
  clock.advance(99)
  t.equal(clock.waiting, 0)
  clock.advance(1)
  t.same(left, [], 'bytes that have arrived come first')
  clock.nextTurn()
  t.same(left, [0])
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('connections are closed in the order in which they came, even if a later one was due before', async t => {
  const { clock, closer, left, connection } = setUp()
  for (const due of [10, 30, 20, 40]) closer.add(connection(), due)
  clock.advance(20)
  clock.nextTurn()
  t.same(left, [0])
  clock.advance(10)
  clock.nextTurn()
  t.same(left, [0, 1, 2])
  clock.advance(10)
  clock.nextTurn()
  t.same(left, [0, 1, 2, 3])
})

t.test('row 30: at most 64 connections are closed per turn of the event loop', async t => {
  const { clock, closer, left, connection } = setUp()
  for (let i = 0; i < 200; i++) closer.add(connection(), 50)
  clock.advance(50)
  for (const closed of [64, 128, 192, 200]) {
    clock.nextTurn()
    t.same(left, upTo(closed))
    clock.advance(0)
  }
  t.equal(clock.waiting, 0)
  t.equal(clock.timers, 0)
})

t.test('only one timer runs, whatever number of connections waits', async t => {
  const { clock, closer, connection } = setUp()
  for (let i = 0; i < 1000; i++) closer.add(connection(), i)
  t.equal(clock.timers, 1)
})

t.test('a busy connection is skipped, and does not come back by itself', async t => {
  const { clock, closer, left, connection } = setUp()
  const [first, busy, third] = [connection(), connection(), connection()]
  for (const each of [first, busy, third]) closer.add(each, 10)
  busy.isQuiet = false
  clock.advance(10)
  clock.nextTurn()
  t.same(left, [0, 2])
  busy.isQuiet = true
  await clock.pass(1000)
  t.same(left, [0, 2])
  closer.add(busy, clock.now())
  await clock.pass(0)
  t.same(left, [0, 2, 1], 'until it is added again')
})

t.test('busy connections count for the 64 of a turn', async t => {
  const { clock, closer, left, connection } = setUp()
  for (let i = 0; i < 65; i++) {
    const each = connection()
    each.isQuiet = i === 64
    closer.add(each, 0)
  }
  clock.advance(0)
  clock.nextTurn()
  t.same(left, [])
  clock.advance(0)
  clock.nextTurn()
  t.same(left, [64])
})

t.test('row 2: a connection whose bytes arrive in the turn before its close stays, as long as that makes it busy', async t => {
  const { clock, closer, left, connection } = setUp()
  const asking = connection()
  closer.add(asking, 10)
  clock.advance(10)
  asking.socket.bytesRead = 50
  asking.isQuiet = false
  await clock.pass(1000)
  t.same(left, [])
})

t.test('a connection that is no longer quiet in the turn before its close is left alone, bytes or not', async t => {
  const { clock, closer, left, connection } = setUp()
  const leaving = connection()
  closer.add(leaving, 10)
  clock.advance(10)
  leaving.isQuiet = false
  clock.nextTurn()
  t.same(left, [])
  t.equal(clock.timers, 0)
})

t.test('a connection that was busy when its time was over is left to the end of its answer, however soon that comes', async t => {
  const { clock, closer, left, connection } = setUp()
  const busy = connection()
  closer.add(busy, 10)
  busy.isQuiet = false
  clock.advance(10)
  busy.isQuiet = true
  clock.nextTurn()
  t.same(left, [])
})

t.test('bytes that are no request defer the close by a turn', async t => {
  const { clock, closer, left, connection } = setUp()
  const blank = connection()
  closer.add(blank, 10)
  clock.advance(10)
  blank.socket.bytesRead = 2
  clock.nextTurn()
  t.same(left, [])
  clock.advance(0)
  clock.nextTurn()
  t.same(left, [0])
})

t.test('a session leaves in its turn, whatever bytes arrive', async t => {
  const { clock, closer, left, connection } = setUp()
  const session = connection()
  session.session = {} as NonNullable<Connection['session']>
  closer.add(session, 10)
  clock.advance(10)
  session.socket.bytesRead = 50
  clock.nextTurn()
  t.same(left, [0])
})

t.test('a connection added while others are being closed gets its turn', async t => {
  const { clock, closer, left, connection } = setUp()
  closer.add(connection(), 10)
  clock.advance(10)
  closer.add(connection(), 15)
  clock.nextTurn()
  t.same(left, [0])
  t.equal(clock.timers, 1)
  clock.advance(5)
  clock.nextTurn()
  t.same(left, [0, 1])
})

t.test('a time in the past means now', async t => {
  const { clock, closer, left, connection } = setUp()
  clock.advance(500)
  closer.add(connection(), 100)
  clock.advance(0)
  clock.nextTurn()
  t.same(left, [0])
})

t.test('stop() leaves no timer behind, and whatever waited alone', async t => {
  const { clock, closer, left, connection } = setUp()
  for (const due of [10, 20]) closer.add(connection(), due)
  closer.stop()
  t.equal(clock.timers, 0)
  await clock.pass(1000)
  t.same(left, [])
})

t.test('stop() in the turn before a close ends the rest', async t => {
  const { clock, closer, left, connection } = setUp()
  for (const due of [10, 20]) closer.add(connection(), due)
  clock.advance(10)
  closer.stop()
  await clock.pass(1000)
  t.equal(clock.timers, 0)
  t.notOk(left.includes(1))
})
