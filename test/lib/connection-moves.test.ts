import t from 'tap'
import { once } from 'node:events'
import type { RequestListener, Server, ServerResponse } from 'node:http'
import { Connection } from '../../lib/connection.ts'
import type { Session } from '../../lib/protocols/http2.ts'
import { eventually } from '../helpers/app.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { request } from '../helpers/raw-client.ts'
import { plainEnv } from '../helpers/unit-env.ts'
import { httpPair } from '../helpers/unit-http-server.ts'

async function setUp (t: { teardown (fn: () => unknown): void }, listener?: RequestListener, prepare?: (server: Server) => void) {
  const pair = await httpPair(t, listener, prepare)
  const clock = new FakeClock()
  const env = plainEnv(clock)
  const connection = new Connection(pair.socket, 0, { ...env, onTimedOut () {} })
  const idle = async (): Promise<void> => {
    pair.client.write(request('/'))
    await pair.client.until(/hello$/)
    await eventually(() => connection.state === 'idle', 'it is idle')
  }
  return { ...pair, clock, env, connection, idle }
}

t.test('a connection of HTTP/1 can move, and is free as long as nothing is open on it', async t => {
  const open: ServerResponse[] = []
  const { socket, server, client, connection } = await setUp(t, (_request, answer) => { open.push(answer) })
  t.ok(connection.canMove)
  t.ok(connection.isFree, 'it is new')
  t.equal(connection.server, server)
  t.type(connection.handle, 'object')
  client.write('GET / HTTP/1.1\r\n')
  await eventually(() => socket.bytesRead > 0, 'half a head has come')
  t.same([connection.canMove, connection.isFree], [true, false])
  client.write('host: x\r\n\r\n')
  await eventually(() => open.length === 1, 'the request has come')
  t.same([connection.canMove, connection.isFree], [true, false])
  open[0]!.end('x')
  await eventually(() => connection.isFree, 'it was answered')
  client.halfClose()
  await eventually(() => !connection.isFree, 'the client has half-closed')
})

t.test('a connection is not free as long as something waits to be written', async t => {
  const { socket, client, connection, idle } = await setUp(t)
  await idle()
  client.socket.pause()
  socket.write(Buffer.alloc(16_000_000, 'x'))
  t.notOk(connection.isFree)
  client.socket.resume()
  await eventually(() => connection.isFree, 'it was written')
})

t.test('nor as long as something that has come waits to be read', async t => {
  const { socket, connection, idle } = await setUp(t)
  await idle()
  Object.defineProperty(socket, 'readableLength', { value: 1 })
  t.notOk(connection.isFree)
})

t.test('a connection that has begun to leave cannot move any more, nor can one of HTTP/2, of TLS, in its handshake, or without a server', async t => {
  const { socket, env, connection } = await setUp(t)
  const other = new Connection(socket, 0, { ...env, onTimedOut () {} }, { handshake: true })
  t.notOk(other.canMove)
  const session = new Connection(socket, 0, { ...env, onTimedOut () {} })
  session.session = {} as Session
  t.notOk(session.canMove)
  const secure = new Connection(socket, 0, { ...env, onTimedOut () {} })
  secure.socket = (await setUp(t)).socket
  t.notOk(secure.canMove)
  connection.leave(0)
  t.notOk(connection.canMove)
})

t.test('an upgraded connection, or one with a closer of its own, cannot move', async t => {
  const { client, connection } = await setUp(t, undefined, server => server.on('upgrade', (_request, socket) => socket.write('HTTP/1.1 101 x\r\n\r\n')))
  client.write(request('/', { headers: { connection: 'upgrade', upgrade: 'x' } }))
  await client.until(/101/)
  t.equal(connection.state, 'upgraded')
  t.notOk(connection.canMove)

  const other = await setUp(t)
  other.env.closers.add(other.socket, () => {})
  t.notOk(other.connection.canMove)
})

t.test('its age is what has passed since it was accepted', async t => {
  const { clock, connection } = await setUp(t)
  clock.advance(1234.4)
  t.equal(connection.age, 1234)
})

t.test('a connection that is handed over closes, and its outcome says why', async t => {
  const { socket, connection, idle } = await setUp(t)
  await idle()
  // As when the answer to a broken request has been replaced by a lingering close.
  connection.lingerOnDestroy()
  const closed = once(socket, 'close')
  connection.handOver()
  t.equal(connection.handle, null)
  await closed
  connection.closed()
  t.equal(connection.outcome, 'handed-over')
})

t.test('a connection that was taken over is idle, as old as it was, and closes when it has been idle for as long as it may', async t => {
  const { client, clock, connection } = await setUp(t)
  clock.advance(5000)
  connection.takeOver(1000, 3000)
  t.equal(connection.state, 'idle')
  t.equal(connection.age, 4000)
  await clock.pass(2999)
  t.equal(connection.state, 'idle')
  await clock.pass(1)
  await client.fin()
})

t.test('a connection that was taken over and brings a request is one like any other', async t => {
  const { client, clock, connection, idle } = await setUp(t)
  connection.takeOver(0, 3000)
  await idle()
  await clock.pass(60_000)
  t.equal(connection.state, 'idle', 'what Node allows counts from now on')
  t.notOk(client.sawFin)
})

t.test('one that may be idle for ever, and one that has closed, leave no timer', async t => {
  const { clock, connection, socket } = await setUp(t)
  connection.takeOver(0, null)
  t.equal(clock.timers, 0)
  connection.takeOver(0, 3000)
  t.equal(clock.timers, 1)
  const closed = once(socket, 'close')
  socket.destroy()
  await closed
  t.equal(clock.timers, 0)
})
