import type { MeterProvider } from '@opentelemetry/api'
import Fastify from 'fastify'
import { subscribe } from 'node:diagnostics_channel'
import { Registry } from 'prom-client'
import { describe, expect, test } from 'tstyche'
import drain, {
  type ConnectionCloseMessage,
  type ConnectionOpenMessage,
  type ConnectionOutcome,
  type ConnectionState,
  type ConnectionStateMessage,
  type DrainPhase,
  type DrainReport,
  type FastifyDrain,
  type PhaseMessage,
  type ReportMessage
} from '../index.ts'
import { drainMetrics as openTelemetry, type OpenTelemetryMetricsOptions } from '../lib/opentelemetry.ts'
import { drainMetrics as prometheus, type PrometheusMetricsOptions } from '../lib/prometheus.ts'

const app = Fastify()
app.register(drain)

describe('metrics for Prometheus', () => {
  test('are a plugin', () => {
    expect(app.register).type.toBeCallableWith(prometheus)
    expect(app.register).type.toBeCallableWith(prometheus, {})
    expect(app.register).type.toBeCallableWith(prometheus, { registry: new Registry(), prefix: 'shop_', labels: { app: 'public' } })
    expect(app.register).type.not.toBeCallableWith(prometheus, { label: {} })
  })

  test('take a registry of either format', () => {
    expect<PrometheusMetricsOptions>().type.toBeAssignableFrom<{ registry: Registry }>()
    expect<PrometheusMetricsOptions>().type.toBeAssignableFrom<{ registry: Registry<typeof Registry.OPENMETRICS_CONTENT_TYPE> }>()
    expect<PrometheusMetricsOptions>().type.not.toBeAssignableFrom<{ registry: string }>()
    expect<PrometheusMetricsOptions>().type.not.toBeAssignableFrom<{ labels: { a: number } }>()
  })
})

describe('metrics for OpenTelemetry', () => {
  test('are a plugin', () => {
    expect(app.register).type.toBeCallableWith(openTelemetry)
    expect(app.register).type.toBeCallableWith(openTelemetry, { attributes: { app: 'public', shard: 1 } })
    expect(app.register).type.not.toBeCallableWith(openTelemetry, { labels: {} })
    expect<OpenTelemetryMetricsOptions>().type.toBeAssignableFrom<{ meterProvider: MeterProvider }>()
    expect<OpenTelemetryMetricsOptions>().type.not.toBeAssignableFrom<{ attributes: { a: object } }>()
  })
})

describe('the messages of the channels', () => {
  test('name the app', () => {
    expect<PhaseMessage['drain'] | ConnectionOpenMessage['drain'] | ConnectionStateMessage['drain'] | ConnectionCloseMessage['drain'] | ReportMessage['drain']>().type.toBe<FastifyDrain>()
    subscribe('fastify-drain:phase', message => {
      expect((message as PhaseMessage).drain === app.drain).type.toBe<boolean>()
    })
  })

  test('are plain data', () => {
    expect<PhaseMessage['phase']>().type.toBe<DrainPhase>()
    expect<ReportMessage['report']>().type.toBe<DrainReport>()
    expect<ConnectionOpenMessage>().type.toBe<{ drain: FastifyDrain, id: number, remoteAddress: string | null, remotePort: number | null }>()
    expect<ConnectionStateMessage['state']>().type.toBe<ConnectionState>()
    expect<ConnectionStateMessage['previous']>().type.toBe<ConnectionState | null>()
    expect<ConnectionCloseMessage['outcome']>().type.toBe<ConnectionOutcome>()
    expect<ConnectionCloseMessage['error']>().type.toBe<string | null>()
  })
})
