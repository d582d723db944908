import t from 'tap'
import { once } from 'node:events'
import http, { type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RotationSettings } from '../../lib/rotation.ts'
import { Connections } from '../../lib/connections.ts'
import { eventually } from '../helpers/app.ts'
import { takesBytes } from '../helpers/http1-bytes.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { answers, rawClient, request } from '../helpers/raw-client.ts'
import { plainEnv } from '../helpers/unit-env.ts'

interface Teardown { teardown (fn: () => unknown): void }

const age = 10_000

/** A server whose connections get old when the clock says so. Each answer waits for its turn unless its path is `/now`. */
async function setUp (t: Teardown, rotation: Partial<RotationSettings> = {}, prepare: (server: http.Server) => void = () => {}) {
  const clock = new FakeClock()
  const events: string[] = []
  const open: ServerResponse[] = []
  const connections = new Connections({
    ...plainEnv(clock), rotation: { maxConnectionAge: age, maxRequestsPerConnection: false, peerCloseTimeout: 250, ...rotation }
  }, {
    onLate: () => { events.push('late') },
    onServed: () => { events.push('served') },
    onTimedOut: () => { events.push('timed out') },
    onClosed: ({ outcome }) => { events.push(String(outcome)) }
  })
  const server = http.createServer((request, answer) => {
    if (request.url === '/now') answer.end('now')
    else open.push(answer)
  })
  prepare(server)
  const listeners = server.listenerCount('request')
  connections.adopt(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    connections.cut('destroy', () => {})
    server.close()
  })
  const connect = async () => {
    const accepted = once(server, 'connection')
    const client = await rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
    await accepted
    return client
  }
  return {
    clock,
    connections,
    events,
    open,
    server,
    connect,
    /** How many listen to requests, besides the app itself. */
    get listeners () { return server.listenerCount('request') - listeners },
    growOld: () => clock.pass(1.2 * age),
    arrived: (count: number) => eventually(() => open.length === count, `${count} request(s) arrived`)
  }
}

const saidClose = (received: string) => answers(received).map(({ headers }) => headers['connection'] === 'close')

t.test('an idle connection that is old stays until its next request; that answer says close, then the client may close first', async t => {
  const { clock, events, connect, growOld } = await setUp(t)
  const client = await connect()
  client.write(request('/now'))
  await client.until(/now/)
  await growOld()
  await clock.pass(1000)
  t.notOk(client.sawFin)
  client.write(request('/now'))
  await client.until(/now[^]*now/)
  t.same(saidClose(client.received), [false, true])
  await clock.pass(249)
  t.notOk(client.sawFin)
  await clock.pass(1)
  await client.fin()
  t.ok(await takesBytes(client, request('/now')), 'no RST')
  t.same(events, [], 'nothing of it was served by a drain')
})

t.test('so it is when no byte has come before', async t => {
  const { connect, growOld } = await setUp(t)
  const client = await connect()
  await growOld()
  client.write(request('/now'))
  await client.until(/now/)
  t.same(saidClose(client.received), [true])
})

t.test('a busy connection whose head is not out says close with this answer', async t => {
  const { open, arrived, connect, growOld } = await setUp(t)
  const client = await connect()
  client.write(request('/'))
  await arrived(1)
  await growOld()
  open[0]?.end('hello')
  await client.until(/hello/)
  t.same(saidClose(client.received), [true])
})

t.test('a busy connection whose head is out says close with the next answer', async t => {
  const { open, arrived, connect, growOld, clock } = await setUp(t)
  const client = await connect()
  client.write(request('/'))
  await arrived(1)
  open[0]?.writeHead(200, { 'content-length': 5 })
  open[0]?.write('hel')
  await growOld()
  open[0]?.end('lo')
  await client.until(/hello/)
  await clock.pass(1000)
  t.notOk(client.sawFin)
  client.write(request('/now'))
  await client.until(/now/)
  t.same(saidClose(client.received), [false, true])
})

t.test('of pipelined requests all are answered, and the last one says close', async t => {
  const { open, arrived, connect, growOld } = await setUp(t)
  const client = await connect()
  await growOld()
  client.write(request('/') + request('/'))
  await arrived(2)
  client.write(request('/'))
  await arrived(3)
  for (const [i, answer] of open.entries()) answer.end(`answer ${i}`)
  await client.until(/answer 2/)
  t.same(answers(client.received).map(({ body }) => body), ['answer 0', 'answer 1', 'answer 2'])
  t.same(saidClose(client.received), [false, false, true])
})

t.test('of pipelined requests that are ready in another order all are answered, too', async t => {
  const { open, arrived, connect, growOld, clock } = await setUp(t)
  const client = await connect()
  client.write(request('/'))
  await arrived(1)
  await growOld()
  client.write(request('/') + request('/'))
  await arrived(3)
  for (const i of [2, 0, 1]) open[i]?.end(`answer ${i}`)
  await client.until(/answer 2/)
  t.same(answers(client.received).map(({ body }) => body), ['answer 0', 'answer 1', 'answer 2'])
  t.same(saidClose(client.received), [false, false, true])
  await clock.pass(250)
  await client.fin()
})

t.test('a request behind an answer that has said close is not executed, and provokes no RST', async t => {
  const { open, arrived, connect, growOld, clock } = await setUp(t)
  const client = await connect()
  await growOld()
  client.write(request('/'))
  await arrived(1)
  open[0]?.writeHead(200, { 'content-length': 5 }).write('hel')
  client.write(request('/'))
  await clock.pass(100)
  open[0]?.end('lo')
  await client.until(/hello/)
  await clock.pass(250)
  await client.fin()
  t.equal(open.length, 1)
  t.ok(await takesBytes(client, request('/')), 'no RST')
})

t.test('an upload that is answered before it is read gets its whole answer', async t => {
  const { open, arrived, connect, growOld, clock } = await setUp(t)
  const client = await connect()
  await growOld()
  client.write(request('/', { method: 'POST', headers: { 'content-length': '1000000' } }) + 'x'.repeat(100_000))
  await arrived(1)
  open[0]?.writeHead(413, { 'content-length': 5 }).end('large')
  await client.until(/large/)
  t.same(saidClose(client.received), [true])
  client.write('x'.repeat(900_000))
  await clock.pass(250)
  await client.fin()
  t.equal(client.error, null)
})

for (const [how, prepare] of Object.entries({
  'says keep-alive itself': answer => answer.setHeader('connection', 'keep-alive'),
  'removes the header': answer => { answer.removeHeader('connection') }
} satisfies Record<string, (answer: ServerResponse) => unknown>)) {
  t.test(`the last answer says close even if its handler ${how}`, async t => {
    const { open, arrived, connect, growOld, clock } = await setUp(t)
    const client = await connect()
    await growOld()
    client.write(request('/'))
    await arrived(1)
    prepare(open[0] as ServerResponse)
    open[0]?.end('hello')
    await client.until(/hello/)
    t.same(saidClose(client.received), [true])
    await clock.pass(250)
    await client.fin()
  })
}

t.test('a client that asks for a close gets our FIN at once, as ever', async t => {
  const { connect, growOld } = await setUp(t)
  const client = await connect()
  await growOld()
  client.write(request('/now', { headers: { connection: 'close' } }))
  await client.fin()
  t.same(saidClose(client.received), [true])
})

t.test('requests are listened to only while a connection that is old waits for one', async t => {
  const it = await setUp(t)
  const [client, other] = [await it.connect(), await it.connect()]
  t.equal(it.listeners, 0)
  await it.growOld()
  t.equal(it.listeners, 1)
  client.write(request('/now'))
  await client.until(/now/)
  t.equal(it.listeners, 1, 'one still waits')
  other.reset()
  await eventually(() => it.listeners === 0, 'nobody waits any more')
})

t.test('an expectation brings the same request twice, and its answer says close once', async t => {
  const { connect, growOld } = await setUp(t, {}, server => {
    server.on('checkContinue', (request, answer) => { answer.writeContinue(); server.emit('request', request, answer) })
  })
  const client = await connect()
  await growOld()
  client.write(request('/now', { method: 'POST', headers: { expect: '100-continue', 'content-length': '1' } }))
  await client.until(/100 Continue/)
  client.write('x')
  await client.until(/now/)
  t.same(saidClose(client.received), [false, true])
})

t.test('a connection that is upgraded while it waits is left alone', async t => {
  const it = await setUp(t, {}, server => {
    server.on('upgrade', (_request, socket) => { socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n') })
  })
  const client = await it.connect()
  await it.growOld()
  t.equal(it.listeners, 1)
  client.write(request('/', { headers: { connection: 'upgrade', upgrade: 'chat' } }))
  await client.until(/101/)
  t.equal(it.listeners, 0)
  await it.clock.pass(60_000)
  t.notOk(client.sawFin)
})

t.test('a drain that begins while the last answer is under way goes on with it, and counts it', async t => {
  const { open, arrived, connect, growOld, connections, events, clock } = await setUp(t)
  const [told, waiting] = [await connect(), await connect()]
  await growOld()
  told.write(request('/'))
  await arrived(1)
  open[0]?.writeHead(200, { 'content-length': 5 }).write('hel')
  connections.retire({ idleGrace: 1000, closeSpread: 0, peerCloseTimeout: 600, lastCall: 12_500, pingTimeout: 5000 })
  waiting.write(request('/now'))
  await waiting.until(/now/)
  t.same(saidClose(waiting.received), [true])
  open[0]?.end('lo')
  await told.until(/hello/)
  t.same(events, ['served', 'served'])
  for (const client of [told, waiting]) t.notOk(client.sawFin)
  await clock.pass(599)
  t.notOk(told.sawFin, 'the times are those of the drain')
  await clock.pass(1)
  await Promise.all([told.fin(), waiting.fin()])
  for (const client of [told, waiting]) client.halfClose()
  await connections.empty()
  t.same(events, ['served', 'served', 'half-closed', 'half-closed'])
})

t.test('a drain that begins when an old connection waits for its request closes it after the grace', async t => {
  const it = await setUp(t)
  const client = await it.connect()
  await it.growOld()
  it.connections.retire({ idleGrace: 1000, closeSpread: 0, peerCloseTimeout: 600, lastCall: 12_500, pingTimeout: 5000 })
  t.equal(it.clock.timers, 0)
  const closing = it.connections.leave().then(() => it.connections.close())
  await it.clock.pass(1000)
  await closing
  await it.clock.pass(1000)
  await client.fin()
})

t.test('the Nth answer of a connection says close, and no further request is executed', async t => {
  const { connect, open, clock, connections } = await setUp(t, { maxConnectionAge: false, maxRequestsPerConnection: 3 })
  const client = await connect()
  for (let i = 1; i <= 3; i++) {
    client.write(request('/now'))
    await client.until(received => received.split('now').length === i + 1)
  }
  t.same(saidClose(client.received), [false, false, true])
  client.write(request('/'))
  await clock.pass(250)
  await client.fin()
  t.equal(open.length, 0)
  t.notMatch(client.received, /503/)
  t.equal(connections.counts().lingering, 1)
})

t.test('of more than N pipelined requests N are answered', async t => {
  const { connect, open, arrived, clock } = await setUp(t, { maxConnectionAge: false, maxRequestsPerConnection: 3 })
  const client = await connect()
  client.write(request('/').repeat(5))
  await arrived(3)
  for (const answer of open) answer.end('hello')
  await client.until(/(hello[^]*){3}/)
  await clock.pass(250)
  await client.fin()
  t.equal(open.length, 3)
  t.same(saidClose(client.received), [false, false, true])
})

for (const [user, ours, expected] of [[2, 3, 2], [3, 2, 2], [2, 2, 2]] as const) {
  t.test(`with maxRequestsPerSocket ${user} and a limit of ${ours} there are ${expected} answers`, async t => {
    const { connect, clock } = await setUp(t, { maxConnectionAge: false, maxRequestsPerConnection: ours }, server => { server.maxRequestsPerSocket = user })
    const client = await connect()
    client.write(request('/now').repeat(5))
    await client.until(received => received.split('now').length === expected + 1)
    await clock.pass(250)
    await client.fin()
    t.same(saidClose(client.received), [false, true])
  })
}

t.test('both limits work together', async t => {
  const { connect, growOld } = await setUp(t, { maxRequestsPerConnection: 3 })
  const [busy, idle] = [await connect(), await connect()]
  for (let i = 1; i <= 3; i++) {
    busy.write(request('/now'))
    await busy.until(received => received.split('now').length === i + 1)
  }
  await growOld()
  idle.write(request('/now'))
  await idle.until(/now/)
  t.same(saidClose(busy.received), [false, false, true])
  t.same(saidClose(idle.received), [true])
})
