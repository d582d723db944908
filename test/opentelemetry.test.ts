import t from 'tap'
import { metrics } from '@opentelemetry/api'
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader, type MetricData } from '@opentelemetry/sdk-metrics'
import Fastify from 'fastify'
import { channel } from 'node:diagnostics_channel'
import drain from '../index.ts'
import { channelNames } from '../lib/diagnostics.ts'
import { drainMetrics } from '../lib/opentelemetry.ts'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { idleAndBusy } from './helpers/idle-and-busy.ts'
import { rawClient } from './helpers/raw-client.ts'
import { servers } from './helpers/servers.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** A provider whose measurements can be looked at. */
function measured (t: Teardown) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 600_000 })
  const meterProvider = new MeterProvider({ readers: [reader] })
  t.teardown(() => meterProvider.shutdown())
  const collect = async (): Promise<MetricData[]> => {
    await reader.forceFlush()
    return exporter.getMetrics().at(-1)?.scopeMetrics.flatMap(({ scope, metrics }) => scope.name === 'fastify-drain' ? metrics : []) ?? []
  }
  return {
    meterProvider,
    collect,
    /** Every value, by name, with the values of its attributes. */
    async values (): Promise<Record<string, any>> {
      return Object.fromEntries((await collect()).flatMap(({ descriptor: { name }, dataPoints }) =>
        dataPoints.map(({ attributes, value }) => [[name, ...Object.values(attributes)].join(' '), value])))
    }
  }
}

t.test('connections are counted by state, and the phase is told, when they are collected', async t => {
  const { meterProvider, values } = measured(t)
  const { app, listen } = await testApp(t, { idleGrace: 100, peerCloseTimeout: 50 })
  await app.register(drainMetrics, { meterProvider })
  const go = deferred()
  app.get('/', async () => 'hello')
  app.get('/slow', async () => { await go.promise; return 'done' })
  const to = await listen()
  const { idle, busy } = await idleAndBusy(t, app, to)
  t.match(await values(), {
    'fastify_drain.connection.count new': 0,
    'fastify_drain.connection.count active': 1,
    'fastify_drain.connection.count idle': 1,
    'fastify_drain.stream.count': 0,
    'fastify_drain.phase serving': 1,
    'fastify_drain.phase closed': 0,
    'fastify_drain.peer.lost': 0
  })
  const draining = app.drain.begin('test')
  go.resolve()
  for (const client of [idle, busy]) {
    await client.fin()
    client.halfClose()
  }
  t.match(await values(), { 'fastify_drain.phase serving': 0 })
  const report = await draining
  const all = await values()
  for (const [outcome, count] of Object.entries(report.connections)) {
    if (outcome !== 'total' && count > 0) t.equal(all[`fastify_drain.connection.closed ${outcome}`], count, outcome)
  }
  t.equal(all['fastify_drain.request.served'], 1)
  t.match(all['fastify_drain.duration'], { count: 1, sum: report.duration / 1000, buckets: { boundaries: [0.1, 0.25] } })
  await app.close()
  t.match(await values(), {
    'fastify_drain.connection.count active': 0, 'fastify_drain.connection.count idle': 0, 'fastify_drain.phase lame-duck': 0, 'fastify_drain.phase closed': 1
  }, 'the last values are those of the end')
})

t.test('units are those of UCUM, and a state is the attribute of the semantic conventions', async t => {
  const { meterProvider, collect } = measured(t)
  const { app, listen } = await testApp(t)
  await app.register(drainMetrics, { meterProvider, attributes: { 'service.part': 'public' } })
  const client = await rawClient(t, await listen())
  await eventually(() => app.drain.connections.new === 1, 'a connection')
  client.halfClose()
  await app.drain.begin('test')
  const all = await collect()
  t.same(Object.fromEntries(all.map(({ descriptor: { name, unit } }) => [name, unit])), {
    'fastify_drain.connection.count': '{connection}',
    'fastify_drain.stream.count': '{stream}',
    'fastify_drain.phase': '{app}',
    'fastify_drain.peer.lost': '{peer}',
    'fastify_drain.connection.closed': '{connection}',
    'fastify_drain.request.served': '{request}',
    'fastify_drain.duration': 's'
  })
  t.ok(all.every(({ dataPoints }) => dataPoints.every(({ attributes }) => attributes['service.part'] === 'public')))
  const states = all.find(({ descriptor }) => descriptor.name === 'fastify_drain.connection.count')?.dataPoints
  t.same(states?.map(({ attributes }) => attributes['http.connection.state']), ['new', 'active', 'idle', 'upgraded', 'lingering'])
})

t.test('h2c: open streams are counted, and a connection that broke has the type of its error', async t => {
  const { meterProvider, values, collect } = measured(t)
  const { app, to } = await servers.h2c.start(t, {}, app => {
    app.register(drainMetrics, { meterProvider })
    app.get('/', () => new Promise(() => {}))
  })
  const client = await servers.h2c.client(t, to)
  client.ask('/')
  client.ask('/')
  await eventually(() => app.drain.connections.streams === 2, 'two streams')
  t.match(await values(), { 'fastify_drain.stream.count': 2, 'fastify_drain.connection.count active': 1 })
  client.wire.raw.reset()
  await eventually(() => app.drain.connections.active === 0, 'the close')
  const closed = (await collect()).find(({ descriptor }) => descriptor.name === 'fastify_drain.connection.closed')
  t.match(closed?.dataPoints, [{ value: 1, attributes: { 'fastify_drain.connection.outcome': 'peer-closed', 'error.type': 'ECONNRESET' } }])
})

t.test('several apps are told apart by their attributes', async t => {
  const { meterProvider, values } = measured(t)
  const [one, other] = [await testApp(t), await testApp(t)]
  await one.app.register(drainMetrics, { meterProvider, attributes: { app: 'one' } })
  await other.app.register(drainMetrics, { meterProvider, attributes: { app: 'other' } })
  await rawClient(t, await other.listen())
  await eventually(() => other.app.drain.connections.new === 1, 'a connection')
  t.match(await values(), { 'fastify_drain.connection.count one new': 0, 'fastify_drain.connection.count other new': 1 })
})

t.test('without a provider it is the global one', async t => {
  const { meterProvider, values } = measured(t)
  metrics.setGlobalMeterProvider(meterProvider)
  t.teardown(() => metrics.disable())
  const { app } = await testApp(t)
  await app.register(drainMetrics)
  t.match(await values(), { 'fastify_drain.phase serving': 1 })
})

t.test('nothing remains of an app that is closed, and nothing is done per request', async t => {
  const { meterProvider, values } = measured(t)
  const bare = await testApp(t)
  await bare.listen()
  const { app, listen } = await testApp(t)
  await app.register(drainMetrics, { meterProvider })
  await listen()
  t.equal(app.server.listenerCount('request'), bare.app.server.listenerCount('request'))
  await app.close()
  t.ok(Object.values(channelNames).every(name => !channel(name).hasSubscribers))
  const next = await testApp(t)
  await next.app.register(drainMetrics, { meterProvider })
  t.match(await values(), { 'fastify_drain.phase serving': 1, 'fastify_drain.phase closed': 0 }, 'the next app takes its place')
})

t.test('what cannot be is a clear error', async t => {
  const { meterProvider } = measured(t)
  const without = Fastify()
  t.teardown(() => without.close())
  without.register(drainMetrics, { meterProvider })
  await t.rejects(async () => { await without.ready() }, { code: 'FST_DRAIN_NOT_REGISTERED', message: /fastify-drain\/opentelemetry needs app\.drain; register/ })

  const register = async (options: object): Promise<void> => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(drain, { signals: false })
    await app.register(drainMetrics, { meterProvider, ...options })
  }
  await register({ attributes: { a: 1, b: 2 } })
  await t.rejects(register({ attributes: { b: 2, a: 1 } }), { code: 'FST_DRAIN_METRICS', message: /with these attributes exist already; register them once/ })
  await t.rejects(register({ meterProvider: {} }), { code: 'FST_DRAIN_INVALID_OPTION', message: /"meterProvider"/ })
  await t.rejects(register({ attributes: { a: {} } }), { code: 'FST_DRAIN_INVALID_OPTION', message: /"attributes"/ })
  await t.rejects(register({ attribute: {} }), { code: 'FST_DRAIN_UNKNOWN_OPTION' })
})
