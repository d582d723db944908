import t from 'tap'
import { once } from 'node:events'
import http, { type ServerResponse } from 'node:http'
import net, { type AddressInfo, type Server } from 'node:net'
import type { Connections } from '../../lib/connections.ts'
import type { Luggage } from '../../lib/connection.ts'
import { divertAccepted } from '../../lib/os/handle.ts'
import { deferred, eventually } from '../helpers/app.ts'
import { answers, rawClient, request, type RawClient } from '../helpers/raw-client.ts'
import { hello, none, setUp } from '../helpers/unit-connections.ts'

interface Teardown { teardown (fn: () => unknown): void }

const luggage = { age: 2000, requests: 2, isFresh: false }

/** Connects to a listener in front of the server; the function gives the server the connection as one from elsewhere. */
async function passOn (t: Teardown, connections: Connections, to: Server, luggage: Luggage): Promise<RawClient> {
  const front = net.createServer()
  await once(front.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => front.close())
  divertAccepted(front, handle => connections.receive(to, handle, luggage))
  const before = connections.size
  const client = await rawClient(t, { host: '127.0.0.1', port: (front.address() as AddressInfo).port })
  await eventually(() => connections.size > before, 'it was received')
  return client
}

t.test('a connection from another process goes on where it was', async t => {
  const server = http.createServer(hello)
  server.maxRequestsPerSocket = 4
  server.keepAliveTimeout = 5000
  const { clock, connections, listen } = await setUp(t)
  await listen(server)
  clock.advance(10_000)
  const client = await passOn(t, connections, server, luggage)
  const [connection] = connections.all()
  t.match(connection, { age: 2000, state: 'idle' })
  t.strictSame(connections.counts(), { ...none, idle: 1 })
  for (const expected of ['keep-alive', 'close']) {
    client.write(request('/'))
    await client.until(received => received.split('hello').length === (expected === 'close' ? 3 : 2))
    t.equal(answers(client.received).at(-1)?.headers['connection'], expected)
  }
})

t.test('its age and its requests count where it goes on', async t => {
  for (const [rotation, served] of [
    [{ maxConnectionAge: 10_000, maxRequestsPerConnection: false }, 1],
    [{ maxConnectionAge: false, maxRequestsPerConnection: 4 }, 2]
  ] as const) {
    const { connections, clock, events } = await setUp(t, hello, {}, { rotation: { ...rotation, peerCloseTimeout: 250 } })
    const server = http.createServer(hello)
    connections.adopt(server)
    const client = await passOn(t, connections, server, { age: 9000, requests: 2, isFresh: false })
    // It is 11 s old then, and has been here for 2 s.
    await clock.pass(2000)
    for (let i = 1; i <= served; i++) {
      client.write(request('/'))
      await client.until(received => received.split('hello').length === i + 1)
    }
    t.same(answers(client.received).map(({ headers }) => headers['connection']), [...new Array(served - 1).fill('keep-alive'), 'close'])
    await clock.pass(250)
    await client.fin()
    t.same(events, [])
  }
})

t.test('it closes when it has been idle for as long as the server allows, and not before', async t => {
  // Node waits for either, and newer versions for a while longer than they say.
  for (const times of [
    { keepAliveTimeout: 5000, keepAliveTimeoutBuffer: 0 },
    { keepAliveTimeout: 4000, keepAliveTimeoutBuffer: 1000 },
    { keepAliveTimeout: 60_000, headersTimeout: 6000 },
    { keepAliveTimeout: 0, headersTimeout: 6000 }
  ]) {
    const server = Object.assign(http.createServer(hello), times)
    const { clock, connections, listen } = await setUp(t)
    await listen(server)
    const client = await passOn(t, connections, server, luggage)
    await clock.pass(4999)
    t.notOk(client.sawFin, JSON.stringify(times))
    await clock.pass(1)
    await client.fin()
  }
})

t.test('where the server lets connections be idle for ever, so may this one', async t => {
  const server = http.createServer(hello)
  server.keepAliveTimeout = 0
  server.headersTimeout = 0
  const { clock, connections, listen } = await setUp(t)
  await listen(server)
  await passOn(t, connections, server, luggage)
  t.equal(clock.timers, 0)
  await clock.pass(600_000)
  t.strictSame(connections.counts(), { ...none, idle: 1 })
})

t.test('a connection that had brought nothing is a new one', async t => {
  const { connections, server } = await setUp(t)
  await passOn(t, connections, server, { age: 2000, requests: 0, isFresh: true })
  t.strictSame(connections.counts(), { ...none, new: 1 })
  t.equal(connections.all()[0]?.age, 0)
})

t.test('what leaves in another way is neither told to close nor closed, and what has left counts', async t => {
  const open = deferred<ServerResponse>()
  const { connections, connectIdle, connect, retire, close, clock, events } = await setUp(t, (request, answer) => {
    if (request.url === '/open') open.resolve(answer)
    else answer.end('hello')
  })
  const idle = await connectIdle()
  const busy = await connect()
  busy.write(request('/open'))
  const answer = await open.promise
  connections.leaves = () => true
  retire()
  await close()
  await clock.pass(60_000)
  idle.write(request('/'))
  await idle.until(/hello[^]*hello$/)
  answer.end('hello')
  await busy.until(/hello$/)
  for (const client of [idle, busy]) {
    t.notMatch(client.received, /connection: close/i)
    t.notOk(client.sawFin)
  }
  for (const connection of connections.all()) connection.handOver()
  await connections.empty()
  t.same(events, ['handed-over', 'handed-over'])
})

t.test('what stays after all is closed like the rest', async t => {
  const open = deferred<ServerResponse>()
  const { connections, connectIdle, connect, retire, close, clock } = await setUp(t, (request, answer) => {
    if (request.url === '/open') open.resolve(answer)
    else answer.end('hello')
  })
  const idle = await connectIdle()
  const busy = await connect()
  busy.write(request('/open'))
  const answer = await open.promise
  connections.leaves = () => true
  retire()
  await close()
  connections.stay()
  for (const connection of connections.all()) t.notOk(connections.leaves(connection))
  answer.end('hello')
  await busy.until(/hello$/)
  t.match(busy.received, /connection: close/i)
  await clock.pass(5000)
  await Promise.all([idle.fin(), busy.fin()])
})

t.test('what stays before a drain has begun is served as ever', async t => {
  const { connections, connectIdle, clock } = await setUp(t)
  const client = await connectIdle()
  connections.leaves = () => true
  connections.stay()
  await clock.pass(60_000)
  client.write(request('/'))
  await client.until(/hello[^]*hello$/)
  t.notMatch(client.received, /connection: close/i)
})

t.test('nor does an answer that is under way say close then', async t => {
  const open = deferred<ServerResponse>()
  const { connections, connect } = await setUp(t, (_request, answer) => { open.resolve(answer) })
  const client = await connect()
  client.write(request('/'))
  const answer = await open.promise
  connections.leaves = () => true
  connections.stay()
  answer.end('hello')
  await client.until(/hello$/)
  t.match(answers(client.received)[0]?.headers, { connection: 'keep-alive' })
})

t.test('what was handed over counts before a drain has begun, too', async t => {
  const { connections, connectIdle, events } = await setUp(t)
  await connectIdle()
  connections.all()[0]?.handOver()
  await connections.empty()
  t.same(events, ['handed-over'])
})
