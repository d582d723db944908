import Fastify, { type FastifyPluginAsync, type FastifyPluginCallback } from 'fastify'
import type { Socket } from 'node:net'
import { describe, expect, test } from 'tstyche'
import drain, {
  fastifyDrain,
  type Behind,
  type ConnectionCounts,
  type ConnectionOutcome,
  type ConnectionState,
  type DrainPhase,
  type DrainReport,
  type DrainReportFile,
  type FastifyDrain,
  type FastifyDrainOptions,
  type Handover,
  type Health,
  type KeepAlive,
  type RecordedConnection,
  type ReportFile,
  type RouteDrainOptions
} from '../index.ts'

const app = Fastify()

describe('the plugin', () => {
  test('is the default export and a named one', () => {
    expect(fastifyDrain).type.toBe<typeof drain>()
    expect(drain).type.toBeAssignableTo<FastifyPluginAsync<FastifyDrainOptions> | FastifyPluginCallback<FastifyDrainOptions>>()
  })

  test('registers with and without options', () => {
    expect(app.register).type.toBeCallableWith(drain)
    expect(app.register).type.toBeCallableWith(drain, {})
    expect(app.register).type.toBeCallableWith(drain, { idleGrace: 500, hardStop: 'reset' })
  })

  test('refuses wrong options', () => {
    expect(app.register).type.not.toBeCallableWith(drain, { idleGrace: '1s' })
    expect(app.register).type.not.toBeCallableWith(drain, { idelGrace: 500 })
  })
})

describe('options', () => {
  test('are all optional', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom({})
  })

  test('signals are names, or none', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ signals: Array<'SIGTERM' | 'SIGINT' | 'SIGUSR2'> }>()
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ signals: readonly ['SIGTERM', 'SIGHUP'] }>()
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ signals: false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ signals: true }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ signals: string[] }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ signals: ['SIGKILL'] }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ signals: 'SIGTERM' }>()
  })

  test('times are milliseconds', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{
      shutdownDelay: number
      idleGrace: number
      closeSpread: number
      peerCloseTimeout: number
      lingerTimeout: number
      lingerTime: number
      hardStopAfter: number
    }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ shutdownDelay: string }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ shutdownDelay: false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ idleGrace: string }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ closeSpread: string }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ peerCloseTimeout: string }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ lingerTimeout: string }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ lingerTime: string }>()
  })

  test('only the deadline can be turned off', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ hardStopAfter: false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ hardStopAfter: true }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ lingerTime: false }>()
  })

  test('a hard stop is one of two', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ hardStop: 'destroy' | 'reset' }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ hardStop: 'kill' }>()
  })

  test('keepalive is given in part, in whole, or turned off', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ keepAlive: {} }>()
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ keepAlive: KeepAlive }>()
    expect<KeepAlive>().type.toBe<{ idle?: number, interval?: number, count?: number, userTimeout?: number }>()
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ keepAlive: false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ keepAlive: true }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ keepAlive: { idle: string } }>()
  })

  test('listeners are shared or not, and inherited by name or not', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ reusePort: boolean }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ reusePort: string }>()
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ listenFdName: string | false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ listenFdName: true }>()
  })

  test('connections may have an age and a number of requests, or live for ever', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ maxConnectionAge: number, maxRequestsPerConnection: number }>()
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ maxConnectionAge: false, maxRequestsPerConnection: false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ maxConnectionAge: true }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ maxConnectionAge: '5m' }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ maxRequestsPerConnection: true }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ maxRequestsPerConnection: string }>()
  })

  test('know a handover', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ handover: boolean | Handover }>()
    expect<Handover>().type.toBeAssignableFrom<{ signal: 'SIGUSR2', readyTimeout: number, ready: () => Promise<void> }>()
    expect<Handover>().type.toBeAssignableFrom<{ signal: false }>()
    expect<Handover>().type.not.toBeAssignableFrom<{ signal: 'SIGTERM' }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ handover: 'SIGUSR2' }>()
  })

  test('health is a switch, or paths of which each can be left out', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ health: boolean | Health }>()
    expect<Health>().type.toBe<{ readiness?: string | false, liveness?: string | false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ health: string }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ health: { readiness: true } }>()
  })

  test('know what is in front', () => {
    expect<Behind>().type.toBe<'aws-alb' | 'aws-nlb' | 'gcp' | 'azure' | 'nginx' | 'envoy' | 'cloudflare' | 'cloudfront' | 'oracle'>()
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ behind: Behind | number | false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ behind: 'alb' }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ behind: true }>()
  })

  test('the grace period of a pod is in seconds', () => {
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ terminationGracePeriodSeconds: number | false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ terminationGracePeriodSeconds: string }>()
  })
})

describe('app.drain', () => {
  test('is there on every instance', () => {
    expect(app.drain).type.toBe<FastifyDrain>()
  })

  test('says where the drain is', () => {
    expect(app.drain.phase).type.toBe<DrainPhase>()
    expect<DrainPhase>().type.toBe<'serving' | 'lame-duck' | 'draining' | 'aborting' | 'closed'>()
  })

  test('has a signal for long answers', () => {
    expect(app.drain.signal).type.toBe<AbortSignal>()
  })

  test('counts connections by state', () => {
    expect<ConnectionState>().type.toBe<'new' | 'active' | 'idle' | 'upgraded' | 'lingering' | 'closed'>()
    expect(app.drain.connections).type.toBe<ConnectionCounts>()
    expect(app.drain.connections.idle).type.toBe<number>()
    expect(app.drain.connections).type.not.toHaveProperty('busy')
  })

  test('hands over', () => {
    expect(app.drain.handover).type.toBeCallableWith()
    expect(app.drain.handover()).type.toBe<Promise<number>>()
  })

  test('begins with an optional reason', () => {
    expect(app.drain.begin).type.toBeCallableWith()
    expect(app.drain.begin).type.toBeCallableWith('deploy')
    expect(app.drain.begin).type.not.toBeCallableWith(15)
    expect(app.drain.begin()).type.toBe<Promise<DrainReport>>()
  })

  test('counts peers that have vanished', () => {
    expect(app.drain.lostPeers).type.toBe<number>()
  })

  test('has a report in the end', () => {
    expect(app.drain.report).type.toBe<DrainReport | null>()
    expect<DrainReport['reason']>().type.toBe<string>()
    expect<DrainReport['requests']['served']>().type.toBe<number>()
  })

  test('reports connections by outcome', () => {
    expect<ConnectionOutcome>().type.toBe<'peer-closed' | 'half-closed' | 'timed-out' | 'cut' | 'handed-over' | 'peer-lost' | 'destroyed'>()
    expect<DrainReport['connections']>().type.toBeAssignableTo<Record<ConnectionOutcome, number>>()
  })

  test('names the stragglers', () => {
    expect<DrainReport['stragglers'][number]['outcome']>().type.toBe<ConnectionOutcome>()
    expect<DrainReport['stragglers'][number]['state']>().type.toBe<ConnectionState>()
    expect<DrainReport['stragglers'][number]['error']>().type.toBe<string | null>()
    expect<DrainReport['stragglers'][number]['unacknowledgedBytes']>().type.toBe<number | null>()
    expect<DrainReport['stragglers'][number]['streams']>().type.toBe<number>()
  })

  test('writes a file that is the report, with how each connection lived', () => {
    expect<DrainReportFile>().type.toBeAssignableTo<DrainReport>()
    expect<DrainReportFile['timeline']['connections']>().type.toBe<RecordedConnection[]>()
    expect<RecordedConnection['states'][number]>().type.toBe<[at: number, state: ConnectionState]>()
    expect<RecordedConnection['outcome']>().type.toBe<ConnectionOutcome | null>()
    expect<RecordedConnection['endedAt']>().type.toBe<number | null>()
    expect<RecordedConnection['acceptedAt']>().type.toBe<number>()
    expect<RecordedConnection['remoteAddress']>().type.toBe<string | null>()
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ report: ReportFile }>()
    expect<FastifyDrainOptions>().type.toBeAssignableFrom<{ report: false }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ report: true }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ report: {} }>()
    expect<FastifyDrainOptions>().type.not.toBeAssignableFrom<{ report: 'drain.json' }>()
  })

  test('takes closers of upgraded sockets', () => {
    const socket = {} as Socket
    expect(app.drain.onUpgradeClose).type.toBeCallableWith(socket, () => {})
    expect(app.drain.onUpgradeClose).type.not.toBeCallableWith(socket)
    expect(app.drain.onUpgradeClose).type.not.toBeCallableWith(() => {})
  })

  test('is read, not written', () => {
    expect<FastifyDrain>().type.not.toBeAssignableFrom<{}>()
    // @ts-expect-error Cannot assign to 'phase' because it is a read-only property.
    app.drain.phase = 'closed'
  })
})

describe('long answers', () => {
  test('every request has a signal', () => {
    app.get('/', async request => {
      expect(request.drainSignal).type.toBe<AbortSignal>()
      // @ts-expect-error Cannot assign to 'drainSignal' because it is a read-only property.
      request.drainSignal = new AbortController().signal
    })
  })

  test('a route says in its config what a drain does with them', () => {
    expect(app.get).type.toBeCallableWith('/', { config: { drain: { endStreams: 'begin' } } }, async () => '')
    expect(app.get).type.toBeCallableWith('/', { config: {} }, async () => '')
    expect(app.get).type.not.toBeCallableWith('/', { config: { drain: { endStreams: 'never' } } }, async () => '')
    expect(app.get).type.not.toBeCallableWith('/', { config: { drain: true } }, async () => '')
    app.get('/', async request => { expect(request.routeOptions.config.drain).type.toBe<RouteDrainOptions | undefined>() })
  })

  test('the moment is mandatory, the rest is not', () => {
    expect<RouteDrainOptions>().type.toBeAssignableFrom<{ endStreams: 'begin' | 'draining' | 'deadline' }>()
    expect<RouteDrainOptions>().type.toBeAssignableFrom<{ endStreams: 'begin', retry: number, contentTypes: string[] }>()
    expect<RouteDrainOptions>().type.toBeAssignableFrom<{ endStreams: 'begin', retry: readonly [1000, 5000] }>()
    expect<RouteDrainOptions>().type.not.toBeAssignableFrom<{}>()
    expect<RouteDrainOptions>().type.not.toBeAssignableFrom<{ endStreams: 'begin', retry: [1000] }>()
    expect<RouteDrainOptions>().type.not.toBeAssignableFrom<{ endStreams: 'begin', retry: string }>()
  })
})
