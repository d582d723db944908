import t from 'tap'
import { once } from 'node:events'
import http, { type RequestListener, type ServerResponse } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import tls from 'node:tls'
import { Connections } from '../../../lib/connections.ts'
import { depart } from '../../../lib/handover/departure.ts'
import type { Movable, Mover } from '../../../lib/handover/mover.ts'
import { deferred, eventually } from '../../helpers/app.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { rawClient, request, type RawClient } from '../../helpers/raw-client.ts'
import { tlsOptions } from '../../helpers/tls.ts'
import { plainEnv } from '../../helpers/unit-env.ts'

interface Teardown { teardown (fn: () => unknown): void }

const hello: RequestListener = (_request, answer) => { answer.end('hello') }

async function setUp (t: Teardown, listener: RequestListener = hello, server: Server = http.createServer(listener)) {
  const clock = new FakeClock()
  const outcomes: string[] = []
  const connections = new Connections(plainEnv(clock), {
    onLate () {}, onServed () {}, onTimedOut () {}, onClosed: ({ outcome }) => { outcomes.push(String(outcome)) }
  })
  const listen = async (server: Server): Promise<Server> => {
    connections.adopt(server)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    t.teardown(() => server.close())
    return server
  }
  await listen(server)
  t.teardown(() => connections.cut('destroy', () => {}))
  const portOf = (to: Server): number => (to.address() as AddressInfo).port
  const connect = (to = server): Promise<RawClient> => rawClient(t, { host: '127.0.0.1', port: portOf(to) })
  /** A connection that has brought something, when the server has it. */
  const connectWith = async (bytes: string): Promise<RawClient> => {
    const accepted = once(server, 'connection')
    const client = await connect()
    const [socket] = await accepted
    client.write(bytes)
    if (bytes !== '') await eventually(() => socket.bytesRead === bytes.length, 'the server has read it')
    return client
  }
  const connectIdle = async (): Promise<RawClient> => {
    const client = await connectWith(request('/'))
    await client.until(/hello$/)
    return client
  }
  const offered: Movable[] = []
  const forgotten: Movable[] = []
  const mover = { offer: (item: Movable) => { offered.push(item) }, forget: (item: Movable) => { forgotten.push(item) } } as unknown as Mover
  /** The successor has the listener of this server as its descriptor 4. */
  const leave = (): () => void => depart(connections, mover, other => other === server ? 4 : undefined)
  return { clock, server, connections, listen, connect, connectWith, connectIdle, portOf, offered, forgotten, outcomes, leave }
}

t.test('whatever is between two requests is offered at once, and what is new as well', async t => {
  const { clock, connections, connectWith, connectIdle, offered, leave } = await setUp(t)
  await connectIdle()
  await connectWith('')
  clock.advance(1500)
  leave()
  t.equal(offered.length, 2)
  t.strictSame(offered.map(item => item.describe()), [{ age: 1500, requests: 0, isFresh: false }, { age: 1500, requests: 0, isFresh: true }])
  for (const item of offered) t.match(item, { listener: 4, isFree: true })
  t.same(offered.map(({ handle }) => handle), connections.all().map(({ handle }) => handle))
})

t.test('how many requests it has brought goes with it, where they are limited', async t => {
  const server = http.createServer(hello)
  server.maxRequestsPerSocket = 10
  const { connectIdle, offered, leave } = await setUp(t, hello, server)
  const client = await connectIdle()
  client.write(request('/'))
  await client.until(/hello[^]*hello$/)
  leave()
  t.match(offered[0]?.describe(), { requests: 2 })
})

t.test('a busy connection is offered when its answer is over', async t => {
  const open = deferred<ServerResponse>()
  const { connectWith, offered, leave } = await setUp(t, (_request, answer) => open.resolve(answer))
  const client = await connectWith(request('/'))
  const answer = await open.promise
  leave()
  t.equal(offered.length, 0)
  answer.end('at last')
  await client.until(/at last$/)
  await eventually(() => offered.length === 1, 'it was offered')
  t.notMatch(client.received, /connection: close/i)
})

t.test('a connection whose request was answered before it had come in full is offered when it has', async t => {
  const { connectWith, offered, leave } = await setUp(t, (request, answer) => {
    request.resume()
    answer.end('early')
  })
  const client = await connectWith('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab')
  await client.until(/early$/)
  leave()
  t.equal(offered.length, 0)
  client.write('cd')
  await eventually(() => offered.length === 1, 'it was offered')
})

t.test('a connection with half a head is offered when its request is over', async t => {
  const { connectWith, offered, leave } = await setUp(t)
  const client = await connectWith('GET / HTTP/1.1\r\n')
  leave()
  t.equal(offered.length, 0)
  client.write('host: x\r\n\r\n')
  await client.until(/hello$/)
  await eventually(() => offered.length === 1, 'it was offered')
})

t.test('pipelined answers all go out before it is offered', async t => {
  const open: ServerResponse[] = []
  const { connectWith, offered, leave } = await setUp(t, (_request, answer) => { open.push(answer) })
  const client = await connectWith(request('/a') + request('/b'))
  await eventually(() => open.length === 2, 'both were read')
  leave()
  open[0]!.end('first')
  await client.until(/first/)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(offered.length, 0)
  open[1]!.end('second')
  await client.until(/second/)
  await eventually(() => offered.length === 1, 'it was offered')
})

t.test('a connection that gets busy on its way is not free, and is offered again as the same one', async t => {
  const open: ServerResponse[] = []
  const { connectIdle, offered, leave } = await setUp(t, (request, answer) => {
    if (request.url === '/open') open.push(answer)
    else answer.end('hello')
  })
  const client = await connectIdle()
  leave()
  client.write(request('/open'))
  await eventually(() => open.length === 1, 'it was busy')
  t.notOk(offered[0]?.isFree)
  open[0]!.end('at last')
  await eventually(() => offered.length === 2, 'it was offered again')
  t.equal(offered[1], offered[0])
  t.ok(offered[0]?.isFree)
})

t.test('a connection that is released has been handed over, and one that closes is forgotten', async t => {
  const { connections, connectIdle, offered, forgotten, outcomes, leave } = await setUp(t)
  const [first, second] = [await connectIdle(), await connectIdle()]
  leave()
  const [one, other] = [...offered] as [Movable, Movable]
  one.release()
  t.equal(one.handle, null)
  await first.fin()
  await eventually(() => outcomes.length === 1, 'it was closed')
  t.same(outcomes, ['handed-over'])
  second.reset()
  await eventually(() => forgotten.length === 2, 'both were closed')
  t.same(new Set(forgotten), new Set([one, other]))
  t.equal(connections.size, 0)
  for (const item of offered) item.keep()
})

t.test('an answer that says close ends the connection here', async t => {
  const { connectWith, offered, leave } = await setUp(t)
  const client = await connectWith('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n')
  leave()
  client.write('\r\n')
  await client.fin()
  t.match(client.received, /hello$/)
  t.equal(offered.length, 0)
})

t.test('whoever comes from now on is offered unread, and accepted if it has to stay', async t => {
  const { server, connections, connect, offered, leave } = await setUp(t)
  leave()
  const [stays, goes] = [await connect(), await connect()]
  stays.write(request('/'))
  await eventually(() => offered.length === 2, 'both have come')
  t.equal(connections.size, 0)
  t.match(offered, [{ listener: 4, isFree: true }, { listener: 4, isFree: true }])
  t.match(offered[0]?.describe(), { requests: 0, isFresh: true })
  t.ok((offered[0]?.describe().age as number) >= 0)

  const accepted = once(server, 'connection')
  offered[0]!.keep()
  await accepted
  await stays.until(/hello$/)
  t.equal(connections.size, 1)
  offered[1]!.release()
  await goes.fin()
})

t.test('a server whose listener the successor has not is left alone', async t => {
  const { connections, listen, connect, offered, leave } = await setUp(t)
  const other = await listen(http.createServer(hello))
  const before = await connect(other)
  await eventually(() => connections.size === 1, 'it was accepted')
  leave()
  for (const client of [before, await connect(other)]) {
    client.write(request('/'))
    await client.until(/hello$/)
  }
  t.equal(offered.length, 0)
  t.same(connections.all().map(one => connections.leaves(one)), [false, false])
})

t.test('what leaves is told so: neither closed nor told to close', async t => {
  const { connections, connectIdle, leave } = await setUp(t)
  await connectIdle()
  const [connection] = connections.all()
  t.notOk(connections.leaves(connection!))
  const stay = leave()
  t.ok(connections.leaves(connection!))
  stay()
  t.notOk(connections.leaves(connection!))
})

t.test('when it is over nobody is offered any more', async t => {
  const { connections, connect, connectIdle, offered, leave } = await setUp(t)
  const client = await connectIdle()
  const stay = leave()
  t.equal(offered.length, 1)
  stay()
  for (const each of [client, await connect()]) {
    each.write(request('/'))
    await each.until(/hello$/)
  }
  await eventually(() => connections.counts().idle === 2, 'both are idle')
  t.equal(offered.length, 1)
})

t.test('an answer that is open when it is over does not move its connection', async t => {
  const open = deferred<ServerResponse>()
  const { connections, connectWith, offered, leave } = await setUp(t, (_request, answer) => open.resolve(answer))
  await connectWith(request('/'))
  const answer = await open.promise
  leave()()
  answer.end()
  await eventually(() => connections.counts().idle === 1, 'it is idle')
  t.equal(offered.length, 0)
})

t.test('a request that another server passes on moves nothing', async t => {
  const { server, connect, offered, leave } = await setUp(t)
  const other = http.createServer((request, answer) => { server.emit('request', request, answer) })
  await once(other.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => other.close())
  leave()
  const client = await connect(other)
  client.write(request('/'))
  await client.until(/hello$/)
  client.halfClose()
  await client.fin()
  t.equal(offered.length, 0)
})

t.test('TLS, HTTP/2 and upgraded sockets do not move', async t => {
  const secure = await setUp(t, hello, https.createServer(tlsOptions, hello))
  const client = tls.connect({ host: '127.0.0.1', port: secure.portOf(secure.server), rejectUnauthorized: false })
  t.teardown(() => client.destroy())
  await once(client, 'secureConnect')
  client.write(request('/'))
  await once(client, 'data')
  secure.leave()
  client.write(request('/'))
  await once(client, 'data')
  t.equal(secure.offered.length, 0)

  const h2 = http2.createServer((_request, answer) => { answer.end('hello') })
  const streams = await setUp(t, hello, h2)
  const session = http2.connect(`http://127.0.0.1:${streams.portOf(h2)}`)
  t.teardown(() => session.destroy())
  await once(session.request({ ':path': '/' }).resume(), 'end')
  streams.leave()
  await once(session.request({ ':path': '/' }).resume(), 'end')
  t.equal(streams.offered.length, 0)

  const server = http.createServer(hello)
  server.on('upgrade', (_request, socket) => { socket.write('HTTP/1.1 101 x\r\n\r\n') })
  const upgrades = await setUp(t, hello, server)
  const upgraded = await upgrades.connectWith(request('/', { headers: { connection: 'upgrade', upgrade: 'x' } }))
  await upgraded.until(/101/)
  upgrades.leave()
  t.equal(upgrades.offered.length, 0)
})
