import t from 'tap'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import tls from 'node:tls'
import type { FastifyDrainOptions } from '../index.ts'
import { accepted, deferred, eventually, testApp } from './helpers/app.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { tlsClient } from './helpers/tls-client.ts'
import { tlsOptions } from './helpers/tls.ts'

const alert = 21
const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

async function setUp (t: { teardown (fn: () => unknown): void }, options: FastifyDrainOptions = {}) {
  const { app, listen, logged } = await testApp(t, { idleGrace: 100, ...options }, { https: tlsOptions } as object)
  app.get('/', async () => 'hello')
  const open = deferred<(body: string) => void>()
  app.get('/open', (_request, reply) => { open.resolve(body => { reply.send(body) }) })
  return { app, to: await listen(), logged, open: open.promise }
}

/** The first flight of a TLS client. */
async function clientHello (): Promise<Buffer> {
  const sent = deferred<Buffer>()
  const socket = tls.connect({ socket: new Duplex({ read () {}, write (bytes, _encoding, done) { sent.resolve(bytes); done() } }) })
  const bytes = await sent.promise
  socket.on('error', () => {}).destroy()
  return bytes
}

t.test('a request in flight over TLS is answered with Connection: close, then come close_notify and FIN', async t => {
  const { app, to, open } = await setUp(t)
  const client = await tlsClient(t, to)
  client.socket.write(request('/open'))
  const answer = await open
  t.strictSame(app.drain.connections, { ...none, active: 1 })
  const draining = app.drain.begin('test')
  answer('bye')
  await client.until(/bye/)
  t.equal(answers(client.received)[0]?.headers['connection'], 'close')
  await client.raw.fin()
  t.equal(client.records.at(-1), alert, 'close_notify is the last record')
  client.socket.end()
  const { connections, requests } = await draining
  t.match(connections, { total: 1, 'half-closed': 1, cut: 0 })
  t.equal(requests.served, 1)
  t.equal(await client.raw.closed(), null, 'no RST')
})

t.test('row 11: https: an idle TLS connection gets close_notify and FIN after the grace, and the drain ends with its own', async t => {
  const { app, to } = await setUp(t)
  const client = await tlsClient(t, to)
  client.socket.write(request('/'))
  await client.until(/hello/)
  t.strictSame(app.drain.connections, { ...none, idle: 1 })
  const draining = app.drain.begin('test')
  await client.raw.fin()
  t.equal(client.records.at(-1), alert)
  t.strictSame(app.drain.connections, { ...none, lingering: 1 })
  client.socket.end()
  t.match((await draining).connections, { total: 1, 'half-closed': 1 })
  t.equal(await client.raw.closed(), null, 'no RST')
})

t.test('a request that comes over TLS within the grace is served', async t => {
  const { app, to } = await setUp(t, { idleGrace: 3000 })
  const client = await tlsClient(t, to)
  t.strictSame(app.drain.connections, { ...none, new: 1 })
  const draining = app.drain.begin('test')
  client.socket.write(request('/'))
  await client.until(/hello/)
  t.equal(answers(client.received)[0]?.headers['connection'], 'close')
  await client.raw.fin()
  client.socket.end()
  t.match(await draining, { requests: { served: 1 }, connections: { cut: 0 } })
})

t.test('row 11: https: a peer that never answers close_notify is closed at lingerTimeout', async t => {
  const { app, to } = await setUp(t, { lingerTimeout: 100 })
  const client = await tlsClient(t, to)
  client.socket.write(request('/'))
  await client.until(/hello/)
  const report = await app.drain.begin('test')
  t.match(report.connections, { total: 1, 'timed-out': 1, cut: 0 })
  t.match(report.stragglers, [{ remoteAddress: '127.0.0.1', state: 'lingering', outcome: 'timed-out' }])
})

t.test('what arrives over TLS after our FIN is discarded without RST', async t => {
  const { app, to } = await setUp(t)
  const client = await tlsClient(t, to)
  client.socket.write(request('/'))
  await client.until(/hello/)
  const before = client.received
  const draining = app.drain.begin('test')
  await client.raw.fin()
  client.socket.write(request('/') + 'x'.repeat(100_000))
  client.socket.end()
  await draining
  t.equal(await client.raw.closed(), null, 'no RST')
  t.equal(client.received, before)
})

for (const [hardStop, expected] of [['destroy', null], ['reset', 'ECONNRESET']] as const) {
  t.test(`at the deadline a TLS connection is cut by ${hardStop}`, async t => {
    const { app, to, open } = await setUp(t, { hardStopAfter: 300, hardStop })
    const client = await tlsClient(t, to)
    client.socket.write(request('/open'))
    await open
    const report = await app.drain.begin('test')
    t.match(report.stragglers, [{ method: 'GET', route: '/open', state: 'active', outcome: 'cut' }])
    if (expected === null) await client.raw.fin()
    else t.equal(await client.raw.closed(), expected)
  })
}

t.test('row 12: https: a connection without a byte of its TLS handshake gets FIN after the grace', async t => {
  const { app, to } = await setUp(t)
  const connected = accepted(app)
  const client = await rawClient(t, to)
  await connected
  t.strictSame(app.drain.connections, { ...none, new: 1 })
  const draining = app.drain.begin('test')
  await client.fin()
  client.halfClose()
  t.match((await draining).connections, { total: 1, cut: 0 })
})

t.test('row 12: https: a TLS handshake that stops in the middle does not hold the drain until the deadline', async t => {
  const { app, to } = await setUp(t, { lingerTimeout: 100 })
  const client = await rawClient(t, to)
  client.write((await clientHello()).subarray(0, 40))
  await eventually(() => app.drain.connections.new === 1, 'it was accepted')
  const report = await app.drain.begin('test')
  t.match(report.connections, { total: 1, cut: 0 })
  t.same(report.phases.map(({ phase }) => phase), ['lame-duck', 'draining', 'closed'])
})

t.test('row 12: https: a TLS handshake that goes on after our FIN does no harm', async t => {
  const { app, to } = await setUp(t, { lingerTimeout: 300 })
  const hello = await clientHello()
  const client = await rawClient(t, to)
  client.write(hello.subarray(0, 40))
  await eventually(() => app.drain.connections.new === 1, 'it was accepted')
  const draining = app.drain.begin('test')
  await client.fin()
  client.write(hello.subarray(40))
  await new Promise(resolve => setTimeout(resolve, 50))
  client.halfClose()
  t.match((await draining).connections, { total: 1, cut: 0 })
})

t.test('row 12: https: a TLS handshake that ends within the grace brings its request', async t => {
  const { app, to } = await setUp(t, { idleGrace: 3000 })
  const draining = accepted(app).then(() => app.drain.begin('test'))
  const client = await tlsClient(t, to)
  client.socket.write(request('/'))
  await client.until(/hello/)
  await client.raw.fin()
  client.socket.end()
  t.match(await draining, { requests: { served: 1 }, connections: { cut: 0 } })
})

for (const [what, bytes] of [['rubbish', 'GET / HTTP/1.1\r\n\r\n'], ['nothing', '']] as const) {
  t.test(`row 32: https: a client that sends ${what} instead of a TLS handshake, and resets, is not counted any more`, async t => {
    const { app, to } = await setUp(t)
    const client = await rawClient(t, to)
    await eventually(() => app.drain.connections.new === 1, 'it was accepted')
    client.write(bytes)
    client.reset()
    await eventually(() => app.drain.connections.new === 0, 'it was closed')
    t.strictSame(app.drain.connections, none)
    t.match((await app.drain.begin('test')).connections, { total: 0 })
  })
}

t.test('a TLS handshake that fails is closed at once, as without the plugin', async t => {
  const { app, to } = await setUp(t, { lingerTimeout: 60_000, lingerTime: 60_000 })
  const connected = once(app.server, 'connection') as Promise<[Socket]>
  const client = await rawClient(t, to)
  const [socket] = await connected
  const closed = once(socket, 'close')
  client.write('GET / HTTP/1.1\r\n\r\n')
  await client.fin()
  await closed
  t.strictSame(app.drain.connections, none)
})

t.test('in steady state the close of a TLS connection is a lingering one, too', async t => {
  const { to } = await setUp(t)
  const client = await tlsClient(t, to)
  client.socket.write(request('/', { headers: { connection: 'close' } }))
  await client.until(/hello/)
  await client.raw.fin()
  t.equal(client.records.at(-1), alert)
  client.socket.write('x'.repeat(100_000))
  client.socket.end()
  t.equal(await client.raw.closed(), null, 'no RST')
})
