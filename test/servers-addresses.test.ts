import { mkdtemp, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { hasIPv6, nameBothAddresses } from './helpers/drain-localhost.ts'
import { closesToo } from './helpers/drain-service.ts'
import { outcomes } from './helpers/drain-slow.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

const hosts = ['127.0.0.1', '::1']
const skip = hasIPv6() ? false : '::1 is not there'
const times = { idleGrace: 200, peerCloseTimeout: 100, lingerTimeout: 1000 }

t.test('row 33: http: connections of both servers of localhost are tracked and drained', { skip }, async t => {
  nameBothAddresses(t)
  const { app } = await testApp(t, times)
  const answer = deferred<string>()
  app.get('/', async () => 'hello')
  app.get('/slow', () => answer.promise)
  await app.listen({ host: 'localhost', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const [idle, late, busy] = await Promise.all([0, 1, 2].map(() => Promise.all(hosts.map(host => rawClient(t, { host, port })))))
  for (const client of [...idle!, ...late!]) {
    client.write(request('/'))
    await client.until(/hello/)
  }
  for (const client of busy!) client.write(request('/slow'))
  await eventually(() => app.drain.connections.active === 2, 'the requests were read')
  t.same(app.drain.connections, { new: 0, active: 2, idle: 4, upgraded: 0, lingering: 0, streams: 0 })

  const closing = app.drain.begin('test')
  await eventually(() => app.drain.phase === 'draining', 'the listeners are closed')
  for (const client of late!) client.write(request('/'))
  await Promise.all(idle!.map(client => client.fin()))
  answer.resolve('at last')
  const clients = [...idle!, ...late!, ...busy!]
  t.same(new Set(await Promise.all(clients.map(closesToo))), new Set([null]), 'no RST on either')
  for (const client of late!) t.match(answers(client.received)[1], { status: 200, headers: { connection: 'close' } })
  for (const client of busy!) t.match(answers(client.received), [{ status: 200, headers: { connection: 'close' }, body: 'at last' }])

  const report = await closing
  t.equal(report.connections.total, 6)
  t.same(outcomes(report), { 'half-closed': 6 })
  t.equal(report.requests.served, 4)
  for (const host of hosts) await t.rejects(once(connect(port, host), 'connect'), { code: 'ECONNREFUSED' })
})

t.test('row 33: http: the lame-duck phase keeps both servers of localhost open', { skip }, async t => {
  nameBothAddresses(t)
  const { app } = await testApp(t, { ...times, shutdownDelay: 500 })
  app.get('/', async () => 'hello')
  await app.listen({ host: 'localhost', port: 0 })
  const { port } = app.server.address() as AddressInfo

  const closing = app.drain.begin('test')
  for (const host of hosts) {
    const client = await rawClient(t, { host, port })
    client.write(request('/'))
    t.equal(await closesToo(client), null)
    t.match(answers(client.received), [{ status: 200, headers: { connection: 'close' } }])
  }
  t.equal((await closing).connections.total, 2)
})

t.test('row 33: http: what is left on the second server of localhost is cut at the deadline, and named', { skip }, async t => {
  nameBothAddresses(t)
  const { app } = await testApp(t, { ...times, hardStopAfter: 300 })
  app.get('/endless', () => new Promise(() => {}))
  await app.listen({ host: 'localhost', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const clients = await Promise.all(hosts.map(host => rawClient(t, { host, port })))
  for (const client of clients) client.write(request('/endless'))
  await eventually(() => app.drain.connections.active === 2, 'the requests were read')

  const report = await app.drain.begin('test')
  await Promise.all(clients.map(client => client.fin()))
  t.same(outcomes(report), { cut: 2 })
  t.same(report.stragglers.map(({ remoteAddress }) => remoteAddress).sort(), hosts)
})

t.test('row 33: http: connections on a Unix socket are tracked and drained', { skip: process.platform === 'win32' }, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'drain-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, 'socket')
  const { app } = await testApp(t, { ...times, lingerTimeout: 200 })
  const answer = deferred<string>()
  app.get('/', async () => 'hello')
  app.get('/slow', () => answer.promise)
  await app.listen({ path })
  const [idle, busy, silent] = await Promise.all([0, 1, 2].map(() => rawClient(t, { path })))
  idle!.write(request('/'))
  await idle!.until(/hello/)
  busy!.write(request('/slow'))
  await eventually(() => app.drain.connections.active === 1, 'the request was read')
  t.same(app.drain.connections, { new: 1, active: 1, idle: 1, upgraded: 0, lingering: 0, streams: 0 })

  const closing = app.drain.begin('test')
  await eventually(() => app.drain.phase === 'draining', 'the listener is closed')
  answer.resolve('at last')
  t.same(await Promise.all([idle!, busy!].map(closesToo)), [null, null])
  t.match(answers(busy!.received), [{ status: 200, headers: { connection: 'close' }, body: 'at last' }])

  const report = await closing
  await silent!.fin()
  t.same(outcomes(report), { 'half-closed': 2, 'timed-out': 1 })
  t.match(report.stragglers, [{ remoteAddress: null, remotePort: null, outcome: 'timed-out' }])
  await t.rejects(once(connect({ path }), 'connect'))
})

t.test('row 33: http: servers of other apps in the process are left alone', async t => {
  const [draining, other] = await Promise.all([testApp(t, times), testApp(t, times)])
  other.app.get('/', async () => 'hello')
  await draining.listen()
  const client = await rawClient(t, await other.listen())

  t.equal((await draining.app.drain.begin('test')).connections.total, 0)
  client.write(request('/'))
  await client.until(/hello/)
  t.match(answers(client.received), [{ status: 200, headers: { connection: 'keep-alive' } }])
  t.equal(other.app.drain.phase, 'serving')
  t.equal(other.app.drain.connections.idle, 1)
})
