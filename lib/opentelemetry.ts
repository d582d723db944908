/**
 * `fastify-drain/opentelemetry`: metrics of connections and drains through @opentelemetry/api.
 */
import type { Attributes, BatchObservableCallback, Meter, MeterProvider } from '@opentelemetry/api'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from './errors.ts'
import { count, drainOf, durations, loadPeer, phases, states, type Readings } from './metrics.ts'
import type { Rule } from './option-rules.ts'
import { compile, resolve } from './options.ts'

export interface OpenTelemetryMetricsOptions {
  /**
   * Whose metrics they are.
   * @default the global one, which has to be there before: register the SDK first
   */
  meterProvider?: MeterProvider
  /**
   * On every measurement of this app: what tells it from the others of this process.
   * @default {}
   */
  attributes?: Record<string, string | number | boolean>
}

const rules: Record<keyof OpenTelemetryMetricsOptions, Rule> = {
  meterProvider: {
    schema: value => typeof (value as MeterProvider | null)?.getMeter === 'function',
    allowed: 'a MeterProvider',
    default: undefined
  },
  attributes: {
    schema: { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } },
    allowed: 'an object of strings, numbers and booleans',
    default: {}
  }
}

const checks = compile(rules)
const subpath = 'fastify-drain/opentelemetry'

/** An app of a meter. */
interface Seat {
  readings: Readings
  isOpen: boolean
  leave (): void
}

// By meter and attributes: of two apps with the same ones the second would hide the first.
const seats = new WeakMap<Meter, Map<string, Seat>>()

const plugin: FastifyPluginAsync<OpenTelemetryMetricsOptions> = async (app, options) => {
  const drain = drainOf(app, subpath)
  const { meterProvider, attributes } = resolve(options, checks) as unknown as OpenTelemetryMetricsOptions & { attributes: Attributes }
  const provider = meterProvider ?? (await loadPeer(subpath, '@opentelemetry/api', () => import('@opentelemetry/api'))).metrics.getMeterProvider()
  const meter = provider.getMeter('fastify-drain')
  const seat = seatFor(drain, meter, attributes)

  const connections = meter.createObservableUpDownCounter('fastify_drain.connection.count', { unit: '{connection}', description: 'Open connections, by state.' })
  const streams = meter.createObservableUpDownCounter('fastify_drain.stream.count', { unit: '{stream}', description: 'Open streams of all HTTP/2 sessions.' })
  const phase = meter.createObservableUpDownCounter('fastify_drain.phase', { unit: '{app}', description: '1 for the phase that the app is in, 0 for all others.' })
  const lostPeers = meter.createObservableCounter('fastify_drain.peer.lost', { unit: '{peer}', description: 'Peers that have vanished without a word.' })
  const closed = meter.createCounter('fastify_drain.connection.closed', { unit: '{connection}', description: 'Connections that have closed, by outcome.' })
  const served = meter.createCounter('fastify_drain.request.served', { unit: '{request}', description: 'Requests that were answered during drains.' })
  const duration = meter.createHistogram('fastify_drain.duration', {
    unit: 's', description: 'How long drains took, from their beginning until no connection was left.', advice: { explicitBucketBoundaries: durations }
  })

  const observables = [connections, streams, phase, lostPeers]
  const read: BatchObservableCallback = result => {
    const { connections: counts, phase: current, lostPeers: lost } = seat.readings
    for (const state of states) result.observe(connections, counts[state], { ...attributes, 'http.connection.state': state })
    result.observe(streams, counts.streams, attributes)
    for (const each of phases) result.observe(phase, each === current ? 1 : 0, { ...attributes, 'fastify_drain.phase': each })
    result.observe(lostPeers, lost, attributes)
  }
  meter.addBatchObservableCallback(read, observables)
  seat.leave = () => meter.removeBatchObservableCallback(read, observables)
  const stopCounting = count(drain, {
    connectionClosed ({ outcome, error }) {
      closed.add(1, { ...attributes, 'fastify_drain.connection.outcome': outcome, ...(error === null ? {} : { 'error.type': error }) })
    },
    drained ({ duration: ms, requests }) {
      duration.record(ms / 1000, attributes)
      served.add(requests.served, attributes)
    }
  })
  app.addHook('onClose', async () => {
    stopCounting()
    // An SDK goes on reporting the last values that it was given: these are the last.
    const { phase, connections, lostPeers } = drain
    seat.readings = { phase, connections, lostPeers }
    seat.isOpen = false
  })
}

function seatFor (readings: Readings, meter: Meter, attributes: Attributes): Seat {
  const key = JSON.stringify(Object.entries(attributes).sort())
  const ofMeter = seats.get(meter) ?? new Map<string, Seat>()
  const before = ofMeter.get(key)
  if (before?.isOpen === true) {
    throw new errors.Metrics('metrics with these attributes exist already', 'register them once for each app, and give each app attributes of its own, such as { attributes: { "app.name": "admin" } }')
  }
  before?.leave()
  const seat: Seat = { readings, isOpen: true, leave () {} }
  seats.set(meter, ofMeter.set(key, seat))
  return seat
}

/** Register it behind the plugin, on the same app. What a drain did is still there to be exported when the app is closed. */
export const drainMetrics = fp(plugin, { fastify: '5.x', name: subpath })
