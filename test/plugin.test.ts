import t from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import drain, { fastifyDrain, type FastifyDrain } from '../index.ts'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { rawClient, request } from './helpers/raw-client.ts'

const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

function fastify (t: { teardown (fn: () => unknown): void }): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

t.test('app.drain has the members of the contract, and shows what is the case now', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0 })
  const before: FastifyDrain = app.drain
  t.same(Object.keys(before), ['phase', 'signal', 'connections', 'lostPeers', 'report', 'begin', 'handover', 'onUpgradeClose'])
  t.equal(before.phase, 'serving')
  t.ok(before.signal instanceof AbortSignal)
  t.equal(before.signal.aborted, false)
  t.strictSame(before.connections, none)
  t.equal(before.lostPeers, 0)
  t.equal(before.report, null)

  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)
  t.strictSame(before.connections, { ...none, idle: 1 })

  const draining = app.drain.begin()
  t.equal(before.phase, 'lame-duck')
  t.equal(before.signal.aborted, true)
  await client.fin()
  client.halfClose()
  const report = await draining
  t.equal(report.reason, 'app.drain.begin()')
  t.equal(before.phase, 'closed')
  t.equal(before.report, report)
  t.strictSame(before.connections, none)
})

t.test('what app.drain shows cannot be changed', async t => {
  const { app } = await testApp(t)
  for (const name of ['phase', 'signal', 'connections', 'lostPeers', 'report'] as const) {
    t.throws(() => { (app.drain as Record<typeof name, unknown>)[name] = null }, TypeError, name)
  }
})

t.test('begin() takes a reason', async t => {
  const { app } = await testApp(t)
  t.equal((await app.drain.begin('deploy')).reason, 'deploy')
  t.match(app.drain.signal.reason, { code: 'FST_DRAIN_DRAINING', message: /deploy/ })
})

t.test('the named and the default export are the same', async t => {
  t.equal(drain, fastifyDrain)
})

t.test('registering twice is a clear error', async t => {
  const app = fastify(t)
  await app.register(drain, { signals: false })
  await t.rejects(async () => { await app.register(drain, { signals: false }) }, {
    code: 'FST_DRAIN_ALREADY_REGISTERED',
    message: /app\.drain exists already/
  })
})

t.test('registering in a child instance is a clear error', async t => {
  const app = fastify(t)
  app.register(async child => { await child.register(drain, { signals: false }) }, { prefix: '/api' })
  await t.rejects(async () => { await app.ready() }, { code: 'FST_DRAIN_NOT_AT_ROOT', message: /register.*root instance/ })
})

t.test('registering in a plugin that fastify-plugin has wrapped works', async t => {
  const app = fastify(t)
  app.register(fp(async app => { await app.register(drain, { signals: false }) }))
  await app.ready()
  t.equal(app.drain.phase, 'serving')
})

t.test('child instances see the drain of their root', async t => {
  const { app } = await testApp(t)
  const seen = deferred<FastifyDrain>()
  app.register(async child => { seen.resolve(child.drain) }, { prefix: '/api' })
  await app.ready()
  t.equal(await seen.promise, app.drain)
})

t.test('bad options make the registration fail, and name the option', async t => {
  for (const [options, code] of [
    [{ idleGrace: -1 }, 'FST_DRAIN_INVALID_OPTION'],
    [{ idleGrce: 1 }, 'FST_DRAIN_UNKNOWN_OPTION'],
    [{ shutdownDelay: 25_000 }, 'FST_DRAIN_IMPOSSIBLE_TIMES']
  ] as const) {
    const app = fastify(t)
    app.register(drain, options as object)
    await t.rejects(async () => { await app.ready() }, { code })
    t.notOk(app.hasDecorator('drain'))
  }
})

t.test('an app whose registration failed can be closed', async t => {
  const app = Fastify()
  app.register(drain, { lingerTime: NaN })
  await t.rejects(app.listen({ host: '127.0.0.1', port: 0 }), { code: 'FST_DRAIN_INVALID_OPTION' })
  await app.close()
})

t.test('options that Fastify gives to every plugin are accepted', async t => {
  const app = fastify(t)
  await app.register(drain, { signals: false, prefix: '/x', logLevel: 'warn' } as object)
  t.equal(app.drain.phase, 'serving')
})

t.test('listening again after the drain is refused by an error', async t => {
  const { app, listen } = await testApp(t)
  await listen()
  await app.close()
  await t.rejects(app.listen({ host: '127.0.0.1', port: 0 }))
  t.notOk(app.server.listening)
})

t.test('row 20: http: listen() that crosses the beginning of a drain is refused', async t => {
  const { app } = await testApp(t)
  await app.ready()
  const draining = app.drain.begin('test')
  await t.rejects(app.listen({ host: '127.0.0.1', port: 0 }), { code: /^FST_(DRAIN_CLOSING|ERR_REOPENED_CLOSE_SERVER)$/ })
  await draining
  t.notOk(app.server.listening)
})

t.test('row 20: http: close() before listen(), and before ready(), is immediate', async t => {
  for (const ready of [true, false]) {
    const app = Fastify()
    app.register(drain, { signals: false, shutdownDelay: 5000 })
    if (ready) await app.ready()
    const before = performance.now()
    await app.close()
    t.ok(performance.now() - before < 4000)
    t.equal(app.drain.phase, 'closed')
    t.equal(app.drain.report?.reason, 'app.close()')
  }
})

t.test('row 15: http: the owner of an upgraded socket is told, and its socket is counted as upgraded', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0 })
  const upgraded = deferred<Duplex>()
  app.server.on('upgrade', (_request, socket: Duplex) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: words\r\n\r\n')
    app.drain.onUpgradeClose(socket, () => { socket.end('goodbye') })
    upgraded.resolve(socket)
  })
  const client = await rawClient(t, await listen())
  client.write(request('/', { headers: { connection: 'upgrade', upgrade: 'words' } }))
  await upgraded.promise
  await client.until(/101/)
  t.strictSame(app.drain.connections, { ...none, upgraded: 1 })

  const draining = app.drain.begin('test')
  await client.fin()
  t.match(client.received, /goodbye$/)
  client.halfClose()
  const report = await draining
  t.match(report.connections, { total: 1, cut: 0 })
  t.equal(await client.closed(), null, 'no RST')
})

t.test('row 15: http: an upgraded socket that nobody speaks for is cut at the deadline, and named', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0, hardStopAfter: 300 })
  app.server.on('upgrade', (_request, socket: Duplex) => { socket.on('error', () => {}) })
  const client = await rawClient(t, await listen())
  client.write(request('/', { headers: { connection: 'upgrade', upgrade: 'words' } }))
  await eventually(() => app.drain.connections.upgraded === 1, 'it was upgraded')
  const report = await app.drain.begin('test')
  t.match(report.stragglers, [{ state: 'upgraded', outcome: 'cut', method: null }])
  await client.fin()
})

t.test('row 16: http: a drain that begins in the handler of an upgrade tells its owner at once', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0 })
  const report = deferred<unknown>()
  app.server.on('upgrade', (_request, socket: Duplex) => {
    report.resolve(app.drain.begin('test'))
    app.drain.onUpgradeClose(socket, () => { socket.end('goodbye') })
  })
  const client = await rawClient(t, await listen())
  client.write(request('/', { headers: { connection: 'upgrade', upgrade: 'words' } }))
  await client.until(/goodbye/)
  await client.fin()
  client.halfClose()
  t.match(await report.promise, { connections: { total: 1, cut: 0 } })
})

t.test('onUpgradeClose() refuses what is no socket, or no function', async t => {
  const { app } = await testApp(t)
  t.throws(() => app.drain.onUpgradeClose(null as unknown as Duplex, () => {}), { code: 'FST_DRAIN_INVALID_CLOSER' })
  t.throws(() => app.drain.onUpgradeClose(app.server as unknown as Duplex, null as unknown as () => void), { code: 'FST_DRAIN_INVALID_CLOSER' })
})

t.test('several apps drain side by side', async t => {
  const apps = [await testApp(t, { idleGrace: 0 }), await testApp(t, { idleGrace: 0 })]
  const clients = await Promise.all(apps.map(async ({ listen }) => rawClient(t, await listen())))
  for (const client of clients) client.socket.on('end', () => client.halfClose())
  const reports = await Promise.all(apps.map(({ app }) => app.drain.begin('test')))
  t.match(reports, [{ connections: { total: 1 } }, { connections: { total: 1 } }])
  t.ok(apps.every(({ app }) => (app.server.address() as AddressInfo | null) === null))
})
