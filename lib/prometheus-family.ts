import type * as promClient from 'prom-client'
import type { Counter, Gauge, Registry } from 'prom-client'
import { errors } from './errors.ts'
import { durations, outcomes, phases, states, type Counters, type Readings } from './metrics.ts'

export type Labels = Record<string, string>

/** An app that the metrics are about. */
export interface Member extends Counters {
  /** The app is closed: what was counted stays. */
  close (): void
}

interface Seat { labels: Labels, readings: Readings, isOpen: boolean }

const names = {
  connections: 'fastify_drain_connections',
  streams: 'fastify_drain_http2_streams',
  phase: 'fastify_drain_phase',
  closed: 'fastify_drain_connections_closed_total',
  lostPeers: 'fastify_drain_lost_peers_total',
  duration: 'fastify_drain_duration_seconds',
  served: 'fastify_drain_requests_served_total'
}

/** The name of a metric that is in this registry and should not be; `undefined`: none is. */
export function takenIn (registry: Registry, prefix: string): string | undefined {
  return Object.values(names).map(name => prefix + name).find(name => registry.getSingleMetric(name) !== undefined)
}

/** The metrics of one registry that have the same prefix, and the apps that they are about. */
export class Family {
  readonly #seats = new Map<string, Seat>()
  readonly #labelNames: string[]
  readonly #metrics: ReturnType<typeof metricsOf>

  constructor (client: typeof promClient, registry: Registry, prefix: string, labelNames: string[]) {
    this.#labelNames = labelNames
    this.#metrics = metricsOf(client, registry, prefix, labelNames, this.#seats)
  }

  isIn (registry: Registry, prefix: string): boolean {
    return registry.getSingleMetric(prefix + names.connections) === this.#metrics.connections
  }

  /** @throws FST_DRAIN_METRICS */
  add (labels: Labels, readings: Readings): Member {
    const { closed, duration, served } = this.#metrics
    if (!sameNames(Object.keys(labels), this.#labelNames)) {
      throw new errors.Metrics(`another app of this registry has the labels ${list(this.#labelNames)}, this one ${list(Object.keys(labels))}`, 'give both the same names, or one of them a prefix')
    }
    const key = JSON.stringify(this.#labelNames.map(name => labels[name]))
    const before = this.#seats.get(key)
    if (before?.isOpen === true) {
      throw new errors.Metrics('metrics with these labels are in this registry already', 'register them once for each app, and give each app labels of its own, such as { labels: { app: "admin" } }')
    }
    const seat: Seat = { labels, readings, isOpen: true }
    this.#seats.set(key, seat)
    if (before === undefined) this.#zero(labels)
    return {
      connectionClosed: ({ outcome }) => closed.inc({ ...labels, outcome }),
      drained ({ duration: ms, requests }) {
        duration.observe(labels, ms / 1000)
        served.inc(labels, requests.served)
      },
      close () {
        const { phase, connections, lostPeers } = readings
        seat.isOpen = false
        seat.readings = { phase, connections, lostPeers }
      }
    }
  }

  // A rate needs to know that there was none before.
  #zero (labels: Labels): void {
    const { closed, duration, served } = this.#metrics
    for (const outcome of outcomes) closed.inc({ ...labels, outcome }, 0)
    served.inc(labels, 0)
    duration.zero(labels)
  }
}

function metricsOf ({ Counter, Gauge, Histogram }: typeof promClient, registry: Registry, prefix: string, labelNames: string[], seats: Map<string, Seat>) {
  const all = (name: string, help: string, ...more: string[]) => ({ name: prefix + name, help, labelNames: [...labelNames, ...more], registers: [registry] })
  const read = <T extends Gauge | Counter> (set: (metric: T, labels: Labels, readings: Readings) => void) => function (this: T): void {
    this.reset()
    for (const { labels, readings } of seats.values()) set(this, labels, readings)
  }
  return {
    connections: new Gauge({
      ...all(names.connections, 'Open connections, by state.', 'state'),
      collect: read<Gauge>((gauge, labels, { connections }) => {
        for (const state of states) gauge.set({ ...labels, state }, connections[state])
      })
    }),
    streams: new Gauge({
      ...all(names.streams, 'Open streams of all HTTP/2 sessions.'),
      collect: read<Gauge>((gauge, labels, { connections }) => gauge.set(labels, connections.streams))
    }),
    phase: new Gauge({
      ...all(names.phase, '1 for the phase that the app is in, 0 for all others.', 'phase'),
      collect: read<Gauge>((gauge, labels, { phase: current }) => {
        for (const phase of phases) gauge.set({ ...labels, phase }, phase === current ? 1 : 0)
      })
    }),
    lostPeers: new Counter({
      ...all(names.lostPeers, 'Peers that have vanished without a word.'),
      collect: read<Counter>((counter, labels, { lostPeers }) => counter.inc(labels, lostPeers))
    }),
    closed: new Counter(all(names.closed, 'Connections that have closed, by outcome.', 'outcome')),
    served: new Counter(all(names.served, 'Requests that were answered during drains.')),
    duration: new Histogram({
      ...all(names.duration, 'How long drains took, from their beginning until no connection was left.'), buckets: durations
    })
  }
}

function sameNames (one: string[], other: string[]): boolean {
  return one.length === other.length && one.every(name => other.includes(name))
}

function list (names: string[]): string {
  return names.length === 0 ? 'none' : names.join(', ')
}
