import t from 'tap'
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Connection } from '../../lib/connection.ts'
import { Rotation, rotates, type RotationSettings } from '../../lib/rotation.ts'
import type { HttpServer } from '../../lib/server.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

const age = 10_000

/** Sessions that write down when they are retired, announced and settled. */
function setUp ({ random = () => 0.5, ...settings }: Partial<RotationSettings> & { random?: () => number } = {}) {
  const clock = new FakeClock()
  const server = new EventEmitter()
  const connections = new Map<Socket, Connection & { isHandshaking: boolean, isSayingGoodbye: boolean, log: Array<[string, number]> }>()
  const rotation = new Rotation({
    maxConnectionAge: age,
    maxRequestsPerConnection: false,
    peerCloseTimeout: 250,
    clock,
    random,
    find: socket => connections.get(socket),
    ...settings
  })
  rotation.watch(server as HttpServer)
  const connect = (more: object = {}) => {
    const socket = new EventEmitter() as Socket
    const log: Array<[string, number]> = []
    const note = (what: string) => () => { log.push([what, clock.now()]) }
    const connection = {
      transport: socket,
      socket,
      log,
      state: 'idle',
      session: { used: true },
      isHandshaking: false,
      isSayingGoodbye: false,
      retire: note('retired'),
      announce: note('announced'),
      settle: note('settled'),
      ...more
    }
    connections.set(socket, connection as never)
    server.emit('connection', socket)
    return connections.get(socket)!
  }
  return { clock, rotation, server, connect }
}

const toldAt = (connection: { log: Array<[string, number]> }) => connection.log[0]?.[1]

t.test('a connection is told at 90 to 110 % of the age, whatever chance says', async t => {
  const values = [0, 0.999999, 0.5]
  const { clock, connect } = setUp({ random: () => values.shift() as number })
  const connections = [connect()]
  // Sweeps come every 100 ms; this one has just missed one.
  clock.advance(11)
  connections.push(connect(), connect())
  await clock.pass(2 * age)
  const told = connections.map((connection, i) => (toldAt(connection) as number) - (i === 0 ? 0 : 11))
  t.same(told, [9000, 10_989, 9989])
})

t.test('connections that came at the same moment are told over the whole of these 20 %', async t => {
  const { clock, connect } = setUp({ random: Math.random })
  const connections = Array.from({ length: 2000 }, () => connect())
  await clock.pass(2 * age)
  const tenths = new Array(10).fill(0)
  for (const connection of connections) tenths[Math.min(9, Math.floor(((toldAt(connection) as number) - 9000) / 200))]++
  // 200 each are expected; the chance of fewer than half is nil.
  t.ok(tenths.every(count => count > 50 && count < 500), tenths.join(', '))
})

t.test('the age counts from the moment at which it was accepted, here or elsewhere', async t => {
  const { clock, rotation, connect } = setUp()
  clock.advance(5000)
  const here = connect()
  const elsewhere = connect()
  rotation.openedAt(elsewhere.transport, clock.now() - 8000)
  await clock.pass(20_000)
  for (const [connection, expected] of [[here, 15_000], [elsewhere, 7000]] as const) {
    t.ok(Math.abs((toldAt(connection) as number) - expected) <= 100, `${toldAt(connection)}, ${expected}`)
  }
})

t.test('one timer serves all of them, and none is left when the last has closed', async t => {
  const { clock, connect } = setUp()
  t.equal(clock.timers, 0)
  const connections = Array.from({ length: 1000 }, () => connect())
  t.equal(clock.timers, 1)
  for (const { transport } of connections) transport.emit('close')
  t.equal(clock.timers, 0)
  const last = connect()
  t.equal(clock.timers, 1)
  await clock.pass(3 * age)
  t.ok(toldAt(last))
  t.equal(clock.timers, 0)
})

t.test('at most 64 are told per turn of the event loop', async t => {
  const { clock, connect } = setUp()
  const connections = Array.from({ length: 100 }, () => connect())
  clock.advance(age * 1.1)
  t.equal(connections.filter(toldAt).length, 64)
  clock.nextTurn()
  clock.advance(0)
  t.equal(connections.filter(toldAt).length, 100)
})

t.test('a connection whose handshake is not over is told when it is', async t => {
  const { clock, connect } = setUp()
  const connection = connect({ isHandshaking: true })
  await clock.pass(2 * age)
  t.same(connection.log, [])
  connection.isHandshaking = false
  await clock.pass(100)
  t.same(connection.log[0], ['retired', clock.now()])
})

t.test('a session is announced, and has a while to choose its moment; one without a request is announced by its first answer', async t => {
  const { clock, connect } = setUp()
  const [used, unused] = [connect(), connect({ session: { used: false } })]
  await clock.pass(2 * age)
  const at = toldAt(used) as number
  t.same(used.log, [['retired', at], ['announced', at], ['settled', at + 1000]])
  t.same(unused.log, [['retired', at], ['settled', at + 1000]])
})

t.test('a session that says goodbye already is not told twice', async t => {
  const { clock, connect } = setUp()
  const connection = connect({ isSayingGoodbye: true })
  await clock.pass(2 * age)
  t.same(connection.log, [])
})

t.test('what is upgraded, or leaves, is left alone', async t => {
  const { clock, rotation, connect } = setUp()
  const connections = ['upgraded', 'lingering', 'closed'].map(state => connect({ state }))
  const forgotten = connect()
  rotation.leaveAlone(forgotten.transport)
  await clock.pass(2 * age)
  for (const { log } of [...connections, forgotten]) t.same(log, [])
})

t.test('stop() leaves no timer behind, and nothing is told, nor counted, after it', async t => {
  const { clock, rotation, connect } = setUp()
  const before = connect()
  const settling = connect()
  rotation.openedAt(settling.transport, -20_000)
  await clock.pass(100)
  t.equal(settling.log.length, 2)
  rotation.stop()
  const after = connect()
  t.equal(clock.timers, 0)
  await clock.pass(3 * age)
  t.same(before.log, [])
  t.same(after.log, [])
  t.equal(settling.log.length, 2, 'its end is the business of the drain')
})

t.test('without an age connections are not even listened for', async t => {
  const { clock, server, connect } = setUp({ maxConnectionAge: false, maxRequestsPerConnection: 2 })
  t.equal(server.listenerCount('connection'), 0)
  connect()
  t.equal(clock.timers, 0)
})

t.test('without a number of requests those are not listened to, and nor are they while nobody is old', async t => {
  const { server, connect } = setUp()
  connect()
  t.equal(server.listenerCount('request'), 0)
})

t.test('it is there when one of the options is set', async t => {
  const off = { maxConnectionAge: false, maxRequestsPerConnection: false, peerCloseTimeout: 0 } as const
  t.notOk(rotates(off))
  t.ok(rotates({ ...off, maxConnectionAge: 1000 }))
  t.ok(rotates({ ...off, maxRequestsPerConnection: 1 }))
})
