import type { Clock } from './clock.ts'
import type { Connection, ConnectionOutcome, ConnectionState } from './connection.ts'

/**
 * - `serving`: no drain has begun.
 * - `lame-duck`: readiness fails; everything is served, and every answer is the last of its connection.
 * - `draining`: the listener is closed; idle connections are closed, busy ones finish.
 * - `aborting`: the deadline has passed; what is left is cut. Skipped when nothing is left.
 * - `closed`: no connection is left; Fastify's own close() runs, with the app's onClose hooks, or has run.
 */
export type DrainPhase = 'serving' | 'lame-duck' | 'draining' | 'aborting' | 'closed'

/** A connection that did not end in the polite way. */
export interface Straggler {
  /** `null` for a Unix socket. */
  remoteAddress: string | null
  remotePort: number | null
  /** Of the request that was open; `null` where none was. */
  method: string | null
  /** Path of the request that was open, without the query string, at most 500 characters of it. */
  route: string | null
  /** Since the connection was accepted, in ms. */
  age: number
  /** The state it was in when it was given up. */
  state: ConnectionState
  outcome: ConnectionOutcome
  /** The errno name of what ended it, such as ETIMEDOUT; `null`: no error. */
  error: string | null
  /**
   * Bytes that the kernel had taken from us and the peer had not acknowledged (SIOCOUTQ; our FIN is not counted).
   * `null`: unknown, as for a Unix socket, or without koffi.
   */
  unacknowledgedBytes: number | null
  /** Open streams of an HTTP/2 session, of which `method` and `route` are the oldest; 0 in all other protocols. */
  streams: number
}

/** What a drain did. Plain JSON; all times in ms since the drain began. */
export interface DrainReport {
  /** The signal, `app.close()`, or what was passed to `begin()`. */
  reason: string
  /** Wall-clock time at which the drain began, ISO 8601. */
  startedAt: string
  /** From the beginning of the drain until the last connection was closed. */
  duration: number
  phases: Array<{ phase: DrainPhase, at: number, duration: number }>
  connections: { total: number } & Record<ConnectionOutcome, number>
  requests: { served: number }
  stragglers: Straggler[]
}

/** Collects, while a drain runs, what its report says. Before it begins, nothing is recorded. */
export class Ledger {
  readonly #clock: Clock
  #running = false
  #reason = ''
  #startedAt = ''
  #began = 0
  #served = 0
  readonly #phases: Array<{ phase: DrainPhase, at: number }> = []
  readonly #stragglers: Straggler[] = []
  readonly #connections: DrainReport['connections'] = {
    total: 0, 'peer-closed': 0, 'half-closed': 0, 'timed-out': 0, cut: 0, 'handed-over': 0, 'peer-lost': 0, destroyed: 0
  }

  #lostPeers = 0

  constructor (clock: Clock) {
    this.#clock = clock
  }

  begin (reason: string, open: number): void {
    this.#running = true
    this.#reason = reason
    this.#startedAt = new Date().toISOString()
    this.#began = this.#clock.now()
    this.#connections.total += open
  }

  /** When the drain began, on the clock. */
  get began (): number {
    return this.#began
  }

  get elapsed (): number {
    return Math.round(this.#clock.now() - this.#began)
  }

  enter (phase: DrainPhase): void {
    this.#phases.push({ phase, at: this.elapsed })
  }

  accepted (): void {
    this.#connections.total++
  }

  served (): void {
    this.#served++
  }

  /** How many peers have vanished since the app began, drain or not. */
  get lostPeers (): number {
    return this.#lostPeers
  }

  /** A connection is being given up; called while its socket can still be asked. */
  straggler (connection: Connection, outcome: ConnectionOutcome): void {
    if (!this.#running) return
    // Counted here, not when its socket has closed: after a second signal the process does not live that long.
    if (outcome === 'cut') this.#connections.cut++
    const { remoteAddress, remotePort } = connection.transport
    this.#stragglers.push({
      remoteAddress: remoteAddress ?? null,
      remotePort: remotePort ?? null,
      ...connection.currentRequest(),
      age: Math.round(this.#clock.now() - connection.openedAt),
      state: connection.lastState,
      outcome,
      error: connection.error,
      unacknowledgedBytes: connection.unacknowledged,
      streams: connection.streams
    })
  }

  /** A connection has closed. */
  ended (connection: Connection): void {
    const { outcome } = connection
    if (outcome === 'peer-lost') {
      this.#lostPeers++
      this.straggler(connection, outcome)
    }
    if (outcome === 'handed-over' && !this.#running) {
      // Most of them leave before the drain begins of those that cannot.
      this.#connections.total++
      this.#connections[outcome]++
    }
    if (this.#running && outcome !== null && outcome !== 'cut') this.#connections[outcome]++
  }

  report (): DrainReport {
    const duration = this.elapsed
    return {
      reason: this.#reason,
      startedAt: this.#startedAt,
      duration,
      phases: this.#phases.map(({ phase, at }, i) => ({
        phase, at, duration: (this.#phases[i + 1]?.at ?? duration) - at
      })),
      connections: { ...this.#connections },
      requests: { served: this.#served },
      stragglers: [...this.#stragglers]
    }
  }
}
