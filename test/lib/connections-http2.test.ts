import t from 'tap'
import { once } from 'node:events'
import http2, { type Http2ServerRequest, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Observer } from '../../lib/observer.ts'
import { Sockets } from '../../lib/os/sockets.ts'
import { eventually } from '../helpers/app.ts'
import { none, setUp as connections } from '../helpers/unit-connections.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** The connections of a server of HTTP/2, with clients that say what they hear. */
async function setUp (t: Teardown, env: Parameters<typeof connections>[3] = {}) {
  const all = await connections(t, undefined, {}, env)
  const streams: ServerHttp2Stream[] = []
  const server: Server = http2.createServer((request: Http2ServerRequest) => { streams.push(request.stream) })
  await all.listen(server)
  const connect = async () => {
    const opened = once(server, 'session')
    const told: number[] = []
    const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    client.on('error', () => {}).on('goaway', (_code, last) => { told.push(last) })
    t.teardown(() => client.destroy())
    await opened
    const open = async (): Promise<ServerHttp2Stream> => {
      const before = streams.length
      client.request({ ':path': '/' }).on('error', () => {}).resume()
      await eventually(() => streams.length > before, 'it was opened')
      return streams.at(-1) as ServerHttp2Stream
    }
    return { client, told, open }
  }
  return { ...all, http2: server, connectHttp2: connect }
}

async function answer (stream: ServerHttp2Stream): Promise<void> {
  stream.respond()
  stream.end()
  await once(stream, 'close')
}

t.test('the streams of a session are counted, and it is one connection', async t => {
  const { connections, connectHttp2 } = await setUp(t)
  const { client, open } = await connectHttp2()
  const streams = [await open(), await open()]
  t.same(connections.counts(), { ...none, active: 1, streams: 2 })
  for (const stream of streams) await answer(stream)
  t.same(connections.counts(), { ...none, idle: 1 })
  client.destroy()
  await eventually(() => connections.size === 0, 'it is gone')
})

t.test('sessions are told, their streams are served, and the drain ends with the last of them', async t => {
  const { clock, connections, connectHttp2, retire, close, events } = await setUp(t)
  const busy = await connectHttp2()
  const stream = await busy.open()
  const idle = await connectHttp2()
  await answer(await idle.open())
  retire()
  const late = await connectHttp2()
  await close()
  const empty = connections.empty()
  await clock.pass(999)
  t.same([busy.told, idle.told, late.told], [[], [], []])
  await clock.pass(200)
  await eventually(() => idle.told.length > 0 && late.told.length > 0, 'whoever has nothing to do was told')
  t.same(busy.told, [])
  await clock.pass(12_000)
  await eventually(() => busy.told.length > 0, 'it was told at its last call')
  await answer(stream)
  await clock.pass(1000)
  await empty
  t.same(events.filter(event => event === 'late' || event === 'served').sort(), ['late', 'served'])
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('a session whose socket is gone by then is nobody\'s', async t => {
  const { connections, http2: server, connectHttp2 } = await setUp(t)
  const { client } = await connectHttp2()
  const [connection] = connections.all()
  const session = connection?.session
  client.destroy()
  await eventually(() => connections.size === 0, 'it is gone')
  server.emit('session', session?.session)
  t.equal(connections.size, 0)
})

t.test('an observer hears of each stream, of those that were open before it came as well', async t => {
  const changes: string[] = []
  const observer = {
    isActive: true,
    wantsStates: false,
    opened () {},
    changed: connection => { changes.push(connection.state) },
    closed () {},
    phase () {},
    finished () {}
  } as Observer & { wantsStates: boolean }
  const { connectHttp2, retire } = await setUp(t, { observer })
  const { open } = await connectHttp2()
  const early = await open()
  t.same(changes, [])
  observer.wantsStates = true
  retire()
  await answer(early)
  await eventually(() => changes.length > 0, 'it heard of its end')
  t.same(changes, ['idle'])
  const stream = await open()
  await eventually(() => changes.length > 1, 'it heard of a new one')
  await answer(stream)
  await eventually(() => changes.length > 2, 'it heard of its end, too')
  t.same(changes, ['idle', 'active', 'idle'])
  const later = await connectHttp2()
  await answer(await later.open())
  await eventually(() => changes.length === 5, 'it heard of those of a session that came later')
})

t.test('a drain gives notice at once to those who have asked for something', async t => {
  const noticed: Array<number | undefined> = []
  class Writing extends Sockets {
    override get canWriteNow (): boolean { return true }
    override writeNow (socket: Socket): boolean {
      noticed.push(socket.remotePort)
      return true
    }
  }
  const { connectHttp2, retire, clock } = await setUp(t, { sockets: new Writing(null) })
  const used = await connectHttp2()
  await answer(await used.open())
  await connectHttp2()
  retire()
  await clock.pass(0)
  t.same(noticed, [used.client.socket.localPort])
})

t.test('a drain that begins between an accepted socket and its session finds both', async t => {
  const { clock, connections, http2: server, connectHttp2, retire, close } = await setUp(t)
  server.once('connection', (_socket: Socket) => retire())
  const { told } = await connectHttp2()
  await close()
  await clock.pass(1100)
  await eventually(() => told.length > 0, 'it was told')
  await eventually(() => connections.size === 0, 'it is gone')
})
