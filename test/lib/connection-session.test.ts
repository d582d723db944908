import t from 'tap'
import { once } from 'node:events'
import http2, { type Http2ServerRequest, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { Connection, type ConnectionEnv } from '../../lib/connection.ts'
import { Sockets } from '../../lib/os/sockets.ts'
import { Session } from '../../lib/protocols/http2.ts'
import { eventually } from '../helpers/app.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { http2Preface } from '../helpers/http2-bytes.ts'
import { rawClient } from '../helpers/raw-client.ts'
import { plainEnv } from '../helpers/unit-env.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** A server that does not know the plugin, and its first connection. */
async function serve (t: Teardown, sockets?: Sockets) {
  const streams: ServerHttp2Stream[] = []
  const server = http2.createServer((request: Http2ServerRequest) => { streams.push(request.stream) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const clock = new FakeClock()
  const env: ConnectionEnv = { ...plainEnv(clock), onTimedOut () {}, ...(sockets === undefined ? {} : { sockets }) }
  const accept = async () => {
    const [[socket], [node]] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, once(server, 'session')])
    t.teardown(() => socket.destroy())
    const connection = new Connection(socket, 0, env)
    const session = new Session(node, clock)
    connection.hasSession(session)
    return { connection, socket, node, session }
  }
  return { port: (server.address() as AddressInfo).port, clock, streams, accepted: accept() }
}

/** Such a connection with a client of Node's, which tells what it hears. */
async function setUp (t: Teardown, sockets?: Sockets) {
  const { port, clock, streams, accepted } = await serve(t, sockets)
  const told: string[] = []
  const served: number[] = []
  const client = http2.connect(`http://127.0.0.1:${port}`)
  client.on('error', () => {})
  // Without an open stream a client closes at the first one.
  client.on('goaway', (code, last) => { told.push(`${code} ${last}`) })
  t.teardown(() => client.destroy())
  const retirement = {
    peerCloseTimeout: 250, lastCall: 10_000, pingTimeout: 5000, onServed: () => { served.push(clock.now()) }, onIdle () {}
  }
  const open = async (): Promise<ServerHttp2Stream> => {
    const before = streams.length
    client.request({ ':path': '/' }).on('error', () => {}).resume()
    await eventually(() => streams.length > before, 'it was opened')
    return streams.at(-1) as ServerHttp2Stream
  }
  return { ...await accepted, client, clock, told, served, retirement, open }
}

/** What can be written past Node, and where. */
class Written extends Sockets {
  readonly written: Array<[Socket, number]> = []
  override get canWriteNow (): boolean { return true }
  override writeNow (socket: Socket, bytes: Uint8Array): boolean {
    this.written.push([socket, bytes.length])
    return true
  }
}

const notice = `0 ${2 ** 31 - 1}`

t.test('a session is new, active and idle by its streams, and is quiet all the while', async t => {
  const { connection, open } = await setUp(t)
  const stream = await open()
  t.equal(connection.state, 'active')
  t.ok(connection.isQuiet)
  stream.respond()
  stream.end()
  await once(stream, 'close')
  t.equal(connection.state, 'idle')
})

t.test('a session that was active when its handshake ended is not new', async t => {
  const { connection, socket, session } = await setUp(t)
  connection.secured(socket)
  t.equal(connection.state, 'new')
  Object.defineProperty(session, 'state', { value: 'active' })
  t.equal(connection.state, 'active')
})

t.test('an idle session that is retired is told when it has been quiet for a moment', async t => {
  const { clock, connection, told, retirement } = await setUp(t)
  connection.retire(retirement)
  connection.announce()
  clock.advance(1000)
  connection.settle()
  await clock.pass(49)
  t.same(told, [])
  await clock.pass(100)
  await eventually(() => told.length > 0, 'it was told')
  t.equal(told[0], notice)
})

t.test('a session with an open stream is told at its last call, and its stream is served', async t => {
  const { client, clock, connection, told, served, retirement, open } = await setUp(t)
  const stream = await open()
  connection.retire(retirement)
  connection.announce()
  clock.advance(1000)
  connection.settle()
  await clock.pass(8999)
  t.same(told, [])
  await clock.pass(100)
  await eventually(() => told.length === 2, 'it was told')
  t.same(told, [notice, '0 1'])
  stream.respond()
  stream.end()
  await once(client, 'close')
  t.equal(served.length, 1)
})

t.test('a drain that begins when a session says goodbye already hurries it, and does not begin anew', async t => {
  const sockets = new Written(null)
  const { clock, connection, socket, told, retirement, open } = await setUp(t, sockets)
  await open()
  t.notOk(connection.isSayingGoodbye)
  connection.retire(retirement)
  connection.announce()
  t.ok(connection.isSayingGoodbye)
  t.same(sockets.written, [[socket, 17]])
  connection.retire({ ...retirement, pingTimeout: 10 })
  connection.announce()
  await clock.pass(100)
  await eventually(() => told.length === 2, 'it was told')
  t.same(told, [notice, '0 1'])
  t.equal(sockets.written.length, 1)
})

t.test('past Node nothing is written where that cannot be done, nor below TLS', async t => {
  const able = new Written(null)
  const unable = new Written(null)
  Object.defineProperty(unable, 'canWriteNow', { value: false })
  const plain = await setUp(t, unable)
  const secure = await setUp(t, able)
  const above = (await setUp(t)).socket
  secure.connection.secured(above)
  for (const { connection, retirement, open } of [plain, secure]) {
    await open()
    connection.retire(retirement)
    connection.announce()
  }
  t.same([able.written, unable.written], [[], []])
})

t.test('a stream that is opened when nothing can be on its way is the moment to refuse more', async t => {
  const { clock, connection, told, retirement, open } = await setUp(t)
  await open()
  connection.retire(retirement)
  connection.announce()
  await open()
  connection.streamOpened()
  await clock.pass(100)
  await eventually(() => told.length === 2, 'it was told')
  t.same(told, [notice, '0 3'])
})

t.test('where nothing depends on its end an idle session stays, and on leaving it is told in its own words', async t => {
  const { clock, connection, socket, told, retirement } = await setUp(t)
  connection.retire({ ...retirement, mayWait: true })
  connection.announce()
  connection.settle()
  await clock.pass(20_000)
  t.same(told, [])
  connection.retire(retirement)
  connection.leave(0)
  t.notOk(socket.writableEnded, 'our FIN waits for the session')
  await clock.pass(100)
  await eventually(() => told.length > 0, 'it was told')
})

t.test('a session that has closed lingers until its peer has closed', async t => {
  const { port, accepted } = await serve(t)
  const client = await rawClient(t, { host: '127.0.0.1', port })
  client.write(http2Preface())
  const { connection, node, socket } = await accepted
  await once(node, 'remoteSettings')
  node.close()
  await client.fin()
  t.equal(connection.state, 'lingering')
  t.notOk(connection.isQuiet, 'nobody has to close it')
  const closed = once(socket, 'close')
  client.halfClose()
  await closed
})

t.test('a session that is destroyed and keeps its socket has it ended when the peer has had its time', async t => {
  const { clock, connection, socket, node, retirement } = await setUp(t)
  connection.retire(retirement)
  Object.defineProperty(node, 'destroyed', { value: true })
  connection.announce()
  clock.advance(249)
  t.notOk(socket.writableEnded)
  clock.advance(1)
  t.ok(socket.writableEnded)
})

t.test('when all is said the reads of a plain socket go on, and those of TLS are left alone', async t => {
  const counts: number[] = []
  for (const isSecure of [false, true]) {
    const { clock, connection, socket, told, retirement } = await setUp(t)
    let starts = 0
    const above = isSecure ? (await setUp(t)).socket : socket
    if (isSecure) connection.secured(above)
    const { _handle: handle } = above as unknown as { _handle: { readStart (): number } }
    const { readStart } = handle
    handle.readStart = () => {
      starts++
      return readStart.call(handle)
    }
    connection.retire(retirement)
    connection.announce()
    connection.settle()
    await clock.pass(100)
    await eventually(() => told.length > 0, 'it was told')
    counts.push(starts)
  }
  t.same(counts, [1, 0])
})

t.test('who the peer of a session was is known when it has closed', async t => {
  const { client, connection, socket, retirement } = await setUp(t)
  socket.on('error', () => {})
  connection.retire(retirement)
  const closed = once(socket, 'close')
  client.destroy()
  await closed
  t.equal(socket.remoteAddress, '127.0.0.1')
})

t.test('where no goodbye was begun there is none to go on with', async t => {
  const { connection, socket, told } = await setUp(t)
  connection.announce()
  connection.settle()
  connection.streamOpened()
  connection.leave(0)
  t.notOk(connection.isQuiet)
  t.notOk(socket.writableEnded)
  t.same(told, [])
})

t.test('a session that can send nothing any more is closed when the peer has acknowledged all that was sent, and not before', async t => {
  class Acknowledging extends Sockets {
    left = 5
    override unacknowledged (): number { return this.left }
  }
  const sockets = new Acknowledging(null)
  const { clock, connection, node, retirement, open } = await setUp(t, sockets)
  await open()
  connection.retire({ ...retirement, lastCall: 0 })
  Object.defineProperty(node, 'state', { value: { outboundQueueSize: 1 } })
  connection.settle()
  clock.advance(5000)
  t.notOk(node.destroyed)
  sockets.left = 0
  clock.advance(500)
  t.ok(node.destroyed)
})

t.test('a stream that was the last one allowed is the moment to refuse more', async t => {
  const { connection, told, retirement, open } = await setUp(t)
  await open()
  connection.retire({ ...retirement, mayWait: true })
  t.same(told, [])
  connection.streamOpened()
  await eventually(() => told.length > 0, 'it was told')
  t.equal(told[0], notice)
})
