import type { Clock } from './clock.ts'
import type { Connection } from './connection.ts'
import type { Connections, ConnectionCounts } from './connections.ts'
import type { DrainPhase, DrainReport, Straggler } from './report.ts'

/** The part of the app's logger that is used. */
export interface Log {
  debug (fields: object, message: string): void
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}

// A log line is for people; the report names them all.
const namedAtMost = 10

/** Tells the app's log how a drain goes: a line per phase, a line per second, a summary. */
export class Progress {
  readonly #log: Log
  readonly #clock: Clock
  #level: 'info' | 'debug' = 'info'
  #stop = () => {}

  constructor (log: Log, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  begin (connections: Connections): void {
    // An app that never listened, in a test with inject(), has nothing to tell.
    if (!connections.listening && connections.size === 0) this.#level = 'debug'
    this.#stop = this.#clock.every(1000, () => this.#left(connections.counts()))
  }

  phase (phase: DrainPhase, reason: string, connections: ConnectionCounts): void {
    this.#log[this.#level]({ phase, reason, connections }, `drain (${reason}): ${phase}, ${inWords(connections)}`)
  }

  #left (connections: ConnectionCounts): void {
    if (Object.values(connections).some(count => count > 0)) {
      this.#log.info({ connections }, `drain: ${inWords(connections)} left`)
    }
  }

  end (): void {
    this.#stop()
  }

  peerLost ({ error, transport }: Connection): void {
    const { remoteAddress, remotePort } = transport
    this.#log.debug({ error, remoteAddress, remotePort }, `drain: a peer has vanished (${error}); its connection is closed`)
  }

  hooksTooSlow (): void {
    this.#log.error({}, 'drain: an onClose hook is still running at the deadline; it is not waited for any longer')
  }

  closeFailed (error: unknown): void {
    this.#log.error({ err: error }, 'drain: an onClose hook failed')
  }

  closerFailed (error: unknown): void {
    this.#log.warn({ err: error }, 'drain: a function passed to onUpgradeClose() failed')
  }

  summary (report: DrainReport): void {
    const { connections, requests, stragglers } = report
    const ends = Object.entries(connections).filter(([name, count]) => name !== 'total' && count > 0)
    const text = `drain: closed after ${report.duration} ms, ${requests.served} requests served meanwhile, ` +
      `${connections.total} connections` + (ends.length > 0 ? ` (${ends.map(([name, count]) => `${count} ${name}`).join(', ')})` : '')
    if (stragglers.length === 0) return this.#log[this.#level]({ report }, text)
    this.#log.warn({ report }, `${text}; stragglers: ${names(stragglers)}`)
  }
}

/** Counts for people. */
export function inWords (connections: ConnectionCounts): string {
  const present = Object.entries(connections).filter(([, count]) => count > 0)
  return present.length === 0 ? 'no connection' : present.map(([state, count]) => `${count} ${state}`).join(', ')
}

function names (stragglers: Straggler[]): string {
  const named = stragglers.slice(0, namedAtMost).map(({ remoteAddress, remotePort, method, route, age, state, outcome, error, unacknowledgedBytes, streams }) => {
    const request = method === null ? '' : ` ${method} ${route}`
    const others = streams > 1 ? `${streams} streams` : null
    const unsent = unacknowledgedBytes === null || unacknowledgedBytes === 0 ? null : `${unacknowledgedBytes} bytes not acknowledged`
    return `${remoteAddress ?? 'local socket'}${remotePort === null ? '' : `:${remotePort}`}${request} (${[state, `${age} ms old`, outcome, error, others, unsent].filter(Boolean).join(', ')})`
  })
  const more = stragglers.length - named.length
  return named.join(', ') + (more > 0 ? ` and ${more} more` : '')
}
