import t from 'tap'
import Fastify from 'fastify'
import { channel } from 'node:diagnostics_channel'
import { Counter, register, Registry } from 'prom-client'
import drain from '../index.ts'
import { channelNames } from '../lib/diagnostics.ts'
import { drainMetrics, type PrometheusMetricsOptions } from '../lib/prometheus.ts'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { idleAndBusy } from './helpers/idle-and-busy.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { servers } from './helpers/servers.ts'

/** Every sample in this registry, by name with labels. */
async function scrape (registry: Registry<any>): Promise<Record<string, number>> {
  const lines = (await registry.metrics()).split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return Object.fromEntries(lines.map(line => {
    const space = line.lastIndexOf(' ')
    return [line.slice(0, space), Number(line.slice(space + 1))]
  }))
}

const withoutSubscribers = (): boolean => Object.values(channelNames).every(name => !channel(name).hasSubscribers)

/** An app with metrics in a registry of its own. */
async function measuredApp (t: { teardown (fn: () => unknown): void }, options: PrometheusMetricsOptions = {}, drainOptions = {}) {
  const registry = new Registry()
  const test = await testApp(t, { idleGrace: 100, peerCloseTimeout: 50, ...drainOptions })
  await test.app.register(drainMetrics, { registry, ...options })
  return { ...test, registry, scrape: () => scrape(registry) }
}

t.test('connections are counted by state, and the phase is told, when they are scraped', async t => {
  const { app, listen, scrape } = await measuredApp(t)
  const go = deferred()
  app.get('/', async () => 'hello')
  app.get('/slow', async () => { await go.promise; return 'done' })
  const to = await listen()
  t.match(await scrape(), {
    'fastify_drain_connections{state="new"}': 0,
    'fastify_drain_connections{state="idle"}': 0,
    'fastify_drain_phase{phase="serving"}': 1,
    'fastify_drain_phase{phase="closed"}': 0,
    fastify_drain_http2_streams: 0,
    fastify_drain_lost_peers_total: 0
  })
  const { idle, busy } = await idleAndBusy(t, app, to)
  t.match(await scrape(), {
    'fastify_drain_connections{state="active"}': 1,
    'fastify_drain_connections{state="idle"}': 1,
    'fastify_drain_connections{state="lingering"}': 0
  })
  const draining = app.drain.begin('test')
  t.match(await scrape(), { 'fastify_drain_phase{phase="serving"}': 0, 'fastify_drain_phase{phase="lame-duck"}': 1 })
  go.resolve()
  for (const client of [idle, busy]) {
    await client.fin()
    client.halfClose()
  }
  await draining
})

t.test('what a drain did stays when the app is closed, and nothing else does', async t => {
  t.ok(withoutSubscribers())
  const { app, listen, scrape } = await measuredApp(t, {}, { hardStopAfter: 400 })
  const go = deferred()
  app.get('/', async () => 'hello')
  app.get('/never', () => new Promise(() => {}))
  app.get('/slow', async () => { await go.promise; return 'done' })
  const to = await listen()
  t.match(await scrape(), {
    'fastify_drain_connections_closed_total{outcome="peer-closed"}': 0,
    'fastify_drain_connections_closed_total{outcome="cut"}': 0,
    fastify_drain_duration_seconds_count: 0,
    fastify_drain_requests_served_total: 0
  }, 'all is there from the beginning')

  const gone = await rawClient(t, to)
  gone.write(request('/'))
  await gone.until(/hello/)
  gone.halfClose()
  await gone.fin()
  const [never, slow] = [await rawClient(t, to), await rawClient(t, to)]
  never.write(request('/never'))
  slow.write(request('/slow'))
  await eventually(() => app.drain.connections.active === 2, 'two requests are open')
  t.match(await scrape(), { 'fastify_drain_connections_closed_total{outcome="peer-closed"}': 1 })
  const closing = app.close()
  go.resolve()
  await slow.until(/done/)
  slow.halfClose()
  await closing

  t.match(await scrape(), {
    'fastify_drain_connections{state="active"}': 0,
    'fastify_drain_phase{phase="closed"}': 1,
    'fastify_drain_connections_closed_total{outcome="cut"}': 1,
    'fastify_drain_connections_closed_total{outcome="peer-closed"}': 2,
    'fastify_drain_duration_seconds_bucket{le="0.25"}': 0,
    'fastify_drain_duration_seconds_bucket{le="+Inf"}': 1,
    fastify_drain_duration_seconds_count: 1,
    fastify_drain_requests_served_total: 1
  })
  const { duration } = app.drain.report!
  t.equal((await scrape()).fastify_drain_duration_seconds_sum, duration / 1000, 'seconds')
  t.ok(withoutSubscribers())
})

t.test('the outcomes that were counted are those of the report', async t => {
  const { app, listen, scrape } = await measuredApp(t, {}, { lingerTimeout: 100 })
  app.get('/', async () => 'hello')
  const to = await listen()
  const clients = await Promise.all([1, 2, 3].map(() => rawClient(t, to)))
  await eventually(() => app.drain.connections.new === 3, 'three connections')
  const draining = app.drain.begin('test')
  clients[0]?.reset()
  await clients[1]?.fin()
  clients[1]?.halfClose()
  const { connections: { total, ...outcomes } } = await draining
  t.equal(total, 3)
  t.match(outcomes, { 'peer-closed': 1, 'half-closed': 1, 'timed-out': 1 })
  const samples = await scrape()
  for (const [outcome, count] of Object.entries(outcomes)) t.equal(samples[`fastify_drain_connections_closed_total{outcome="${outcome}"}`], count, outcome)
})

t.test('h2c: open streams are counted', async t => {
  const go = deferred()
  const registry = new Registry()
  const { app, to } = await servers.h2c.start(t, {}, app => {
    app.register(drainMetrics, { registry })
    app.get('/', async () => { await go.promise; return 'hello' })
  })
  const client = await servers.h2c.client(t, to)
  const exchanges = [client.ask('/'), client.ask('/'), client.ask('/')]
  await eventually(() => app.drain.connections.streams === 3, 'three streams')
  t.match(await scrape(registry), { fastify_drain_http2_streams: 3, 'fastify_drain_connections{state="active"}': 1 })
  go.resolve()
  for (const exchange of exchanges) await exchange.answer()
})

t.test('nothing is done per request', async t => {
  const bare = await testApp(t)
  await bare.listen()
  const { app, listen } = await measuredApp(t)
  await listen()
  for (const event of ['request', 'checkContinue', 'connection', 'session']) {
    t.equal(app.server.listenerCount(event), bare.app.server.listenerCount(event), event)
  }
})

t.test('names can have a prefix, and samples labels', async t => {
  const { app, scrape } = await measuredApp(t, { prefix: 'shop_', labels: { app: 'public', zone: 'a' } })
  await app.ready()
  const names = Object.keys(await scrape())
  t.ok(names.length > 20)
  t.ok(names.every(name => /^shop_fastify_drain_\w+\{.*app="public",zone="a"/.test(name)), names.join('\n'))
})

t.test('several apps share a registry, if their labels tell them apart', async t => {
  const registry = new Registry()
  const [one, other] = [await testApp(t), await testApp(t)]
  await one.app.register(drainMetrics, { registry, labels: { app: 'one' } })
  await other.app.register(drainMetrics, { registry, labels: { app: 'other' } })
  await rawClient(t, await other.listen())
  await eventually(() => other.app.drain.connections.new === 1, 'a connection')
  await one.app.drain.begin('test')
  t.match(await scrape(registry), {
    'fastify_drain_connections{app="one",state="new"}': 0,
    'fastify_drain_connections{app="other",state="new"}': 1,
    'fastify_drain_phase{app="one",phase="closed"}': 1,
    'fastify_drain_phase{app="other",phase="serving"}': 1,
    'fastify_drain_duration_seconds_count{app="one"}': 1,
    'fastify_drain_duration_seconds_count{app="other"}': 0
  })
})

t.test('an app that follows a closed one with the same labels goes on counting', async t => {
  const registry = new Registry()
  for (const count of [1, 2]) {
    const { app } = await testApp(t)
    await app.register(drainMetrics, { registry })
    await app.ready()
    t.match(await scrape(registry), { 'fastify_drain_phase{phase="serving"}': 1 })
    await app.close()
    t.match(await scrape(registry), { fastify_drain_duration_seconds_count: count, 'fastify_drain_phase{phase="closed"}': 1 })
  }
  registry.clear()
  const { app } = await testApp(t)
  await app.register(drainMetrics, { registry })
  t.match(await scrape(registry), { fastify_drain_duration_seconds_count: 0 }, 'a registry that was cleared begins anew')
})

t.test("without a registry it is prom-client's own", async t => {
  t.teardown(() => register.clear())
  const { app } = await testApp(t)
  await app.register(drainMetrics)
  t.match(await scrape(register), { 'fastify_drain_phase{phase="serving"}': 1 })
})

t.test('OpenMetrics is understood, too', async t => {
  const { registry, scrape } = await measuredApp(t)
  ;(registry as Registry<any>).setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  for (const time of ['first', 'second']) {
    t.match(await scrape(), { 'fastify_drain_connections_closed_total{outcome="cut"}': 0, fastify_drain_requests_served_total: 0 }, time)
  }
})

t.test('what cannot be is a clear error', async t => {
  const registry = new Registry()
  const without = Fastify()
  t.teardown(() => without.close())
  without.register(drainMetrics, { registry })
  await t.rejects(async () => { await without.ready() }, { code: 'FST_DRAIN_NOT_REGISTERED', message: /fastify-drain\/prometheus needs app\.drain; register/ })

  const app = async () => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(drain, { signals: false })
    return app
  }
  const register = async (options: object): Promise<unknown> => (await app()).register(drainMetrics, { registry, ...options })
  await register({ labels: { app: 'one' } })
  await t.rejects(register({ labels: { app: 'one' } }), { code: 'FST_DRAIN_METRICS', message: /in this registry already; register them once/ })
  await t.rejects(register({ labels: { zone: 'a' } }), { code: 'FST_DRAIN_METRICS', message: /has the labels app, this one zone/ })
  await t.rejects(register({}), { code: 'FST_DRAIN_METRICS', message: /this one none/ })
  await register({ prefix: 'other_' })

  const twice = await app()
  await twice.register(drainMetrics, { registry: new Registry() })
  const strange = new Registry()
  strange.registerMetric(new Counter({ name: 'fastify_drain_lost_peers_total', help: 'Of somebody else.', registers: [] }))
  await t.rejects(async () => { await twice.register(drainMetrics, { registry: strange }) }, { code: 'FST_DRAIN_METRICS', message: /fastify_drain_lost_peers_total is in this registry already/ })

  for (const [options, name] of [
    [{ registry: {} }, 'registry'], [{ prefix: 'a-b' }, 'prefix'], [{ prefix: 1 }, 'prefix'], [{ labels: { state: 'x' } }, 'labels'],
    [{ labels: { a: 1 } }, 'labels'], [{ labels: { 'a-b': 'c' } }, 'labels'], [{ labels: { __name__: 'c' } }, 'labels']
  ] as const) {
    await t.rejects(register(options), { code: 'FST_DRAIN_INVALID_OPTION', message: new RegExp(`"${name}"`) })
  }
  await t.rejects(register({ label: {} }), { code: 'FST_DRAIN_UNKNOWN_OPTION', message: /did you mean "labels"/ })
})
