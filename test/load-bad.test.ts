import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import t from 'tap'
import { eventually, testApp } from './helpers/app.ts'
import { outcomes } from './helpers/drain-slow.ts'
import { request } from './helpers/raw-client.ts'

const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }
const times = { idleGrace: 100, peerCloseTimeout: 100, lingerTimeout: 10_000, lingerTime: 10_000, hardStopAfter: 20_000 }

t.test('a thousand silent connections each get a FIN, and the drain ends with the last', async t => {
  const { app, listen } = await testApp(t, times)
  const clients = await open(t, app, await listen(), 1000)
  t.same(app.drain.connections, { ...none, new: 1000 })

  const closing = app.drain.begin('test')
  // Node's client answers a FIN with its own.
  await Promise.all(clients.map(client => once(client.resume(), 'close')))
  t.same(outcomes(await closing), { 'half-closed': 1000 })
  t.same(app.drain.connections, none)
})

t.test('a thousand silent connections that never close are closed at lingerTimeout', async t => {
  const { app, listen } = await testApp(t, { ...times, lingerTimeout: 100 })
  await open(t, app, await listen(), 1000, { allowHalfOpen: true })
  const report = await app.drain.begin('test')
  t.same(outcomes(report), { 'timed-out': 1000 })
  t.equal(report.stragglers.length, 1000)
  t.same(app.drain.connections, none)
})

t.test('a thousand silent connections that are reset leave nothing behind', async t => {
  const { app, listen } = await testApp(t, times)
  const clients = await open(t, app, await listen(), 1000)
  for (const client of clients) client.resetAndDestroy()
  await eventually(() => app.drain.connections.new === 0, 'all are gone')
  t.same(app.drain.connections, none)
  t.ok((await app.drain.begin('test')).duration < 10_000)
})

for (const moment of ['serving', 'draining'] as const) {
  t.test(`clients that reset in the middle of everything, while ${moment}, crash nothing and are counted no more`, async t => {
    const { app, listen } = await testApp(t, times)
    app.get('/', async () => 'hello')
    app.get('/endless', () => new Promise(() => {}))
    app.get('/large', async (_request, reply) => reply.send(Readable.from(Array.from({ length: 64 }, () => Buffer.alloc(65_536)))))
    app.post('/', async request => request.body)
    const inTheMiddle = [
      'G',
      'GET / HTTP/1.1\r\nhost: te',
      'not HTTP at all\r\n\r\n',
      request('/'),
      request('/').repeat(20),
      request('/large'),
      request('/endless'),
      'POST / HTTP/1.1\r\nhost: test\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nhalf',
      'POST / HTTP/1.1\r\nhost: test\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\nzz',
      'POST / HTTP/1.1\r\nhost: test\r\ncontent-type: text/plain\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n'
    ]
    const clients = await open(t, app, await listen(), inTheMiddle.length * 20)
    clients.forEach((client, i) => client.write(inTheMiddle[i % inTheMiddle.length]!))
    await eventually(() => app.drain.connections.active > 20, 'some requests were read')

    const closing = moment === 'draining' ? app.drain.begin('test') : null
    for (const [i, client] of clients.entries()) {
      client.resetAndDestroy()
      if (i % 20 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    const report = await (closing ?? allGone(app).then(() => app.drain.begin('test')))
    t.equal(report.connections.cut, 0)
    t.equal(report.connections.total, Object.values(outcomes(report)).reduce((sum, count) => sum + count, 0))
    t.ok(report.duration < 15_000, 'not only the deadline ends it')
    t.same(app.drain.connections, none)
  })
}

async function allGone (app: FastifyInstance): Promise<void> {
  await eventually(() => Object.values(app.drain.connections).every(count => count === 0), 'all are gone')
}

async function open (
  t: { teardown (fn: () => unknown): void }, app: FastifyInstance, to: { host: string, port: number }, count: number, options = {}
): Promise<Socket[]> {
  let accepted = 0
  app.server.on('connection', () => { accepted++ })
  const clients: Socket[] = []
  for (let i = 0; i < count; i += 100) {
    await Promise.all(Array.from({ length: Math.min(100, count - i) }, async () => {
      const client = connect({ ...to, ...options })
      client.on('error', () => {})
      t.teardown(() => client.destroy())
      clients.push(client)
      await once(client, 'connect')
    }))
  }
  await eventually(() => accepted === count, 'all are accepted')
  return clients
}
