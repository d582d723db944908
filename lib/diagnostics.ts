import { channel } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import type { Connection, ConnectionOutcome, ConnectionState } from './connection.ts'
import type { ConnectionCounts } from './connections.ts'
import type { FastifyDrain } from './decorator.ts'
import type { Observer } from './observer.ts'
import type { DrainPhase, DrainReport } from './report.ts'

/** The names of the channels of node:diagnostics_channel. */
export const channelNames = {
  phase: 'fastify-drain:phase',
  open: 'fastify-drain:connection:open',
  state: 'fastify-drain:connection:state',
  close: 'fastify-drain:connection:close',
  report: 'fastify-drain:report'
} as const

/** Of the channel `fastify-drain:phase`: a phase has begun. */
export interface PhaseMessage {
  /** `app.drain` of the app. */
  drain: FastifyDrain
  phase: DrainPhase
  /** The signal, `app.close()`, or what was passed to `begin()`. */
  reason: string
  /** How many connections are in each state at that moment. */
  connections: ConnectionCounts
}

interface ConnectionMessage {
  /** `app.drain` of the app. */
  drain: FastifyDrain
  /** The same in every message about this connection; a number of its own for each connection of the app. */
  id: number
  /** `null` for a Unix socket, or where nobody knows it any more. */
  remoteAddress: string | null
  remotePort: number | null
}

/** Of the channel `fastify-drain:connection:open`: a connection was accepted, and no byte of it has been read. */
export type ConnectionOpenMessage = ConnectionMessage

interface RequestOf {
  /** Of the request that is open; `null` where none is. */
  method: string | null
  /** Path of the request that is open, without the query string; of an HTTP/2 session the oldest. */
  route: string | null
}

/** Of the channel `fastify-drain:connection:state`: a connection is in another state. */
export interface ConnectionStateMessage extends ConnectionMessage, RequestOf {
  state: ConnectionState
  /** The one before, as far as it was published; else `null`. */
  previous: ConnectionState | null
}

/** Of the channel `fastify-drain:connection:close`: a connection is gone. */
export interface ConnectionCloseMessage extends ConnectionMessage, RequestOf {
  outcome: ConnectionOutcome
  /** The state it was in at the end. */
  state: ConnectionState
  /** Since it was accepted, in ms. */
  age: number
  /** The errno name of what ended it, such as ETIMEDOUT; `null`: no error. */
  error: string | null
}

/** Of the channel `fastify-drain:report`: a drain is over. */
export interface ReportMessage {
  /** `app.drain` of the app. */
  drain: FastifyDrain
  report: DrainReport
}

/** What was said of a connection. */
interface Published { id: number, state: ConnectionState | null }

/** Publishes on the channels of node:diagnostics_channel. Where nobody subscribes nothing is done. */
export class Diagnostics implements Observer {
  readonly #drain: () => FastifyDrain
  readonly #phase = channel(channelNames.phase)
  readonly #open = channel(channelNames.open)
  readonly #state = channel(channelNames.state)
  readonly #close = channel(channelNames.close)
  readonly #report = channel(channelNames.report)
  // By their sockets: not every connection has an object that lasts.
  readonly #published = new WeakMap<Socket, Published>()
  #lastId = 0

  constructor (drain: () => FastifyDrain) {
    this.#drain = drain
  }

  get isActive (): boolean {
    return [this.#phase, this.#open, this.#state, this.#close, this.#report].some(({ hasSubscribers }) => hasSubscribers)
  }

  get wantsStates (): boolean {
    return this.#state.hasSubscribers
  }

  opened (connection: Connection): void {
    // Node keeps an address that it was asked for; when the socket has closed it is too late to ask.
    if (this.#close.hasSubscribers) addressOf(connection)
    if (!this.#open.hasSubscribers && !this.#state.hasSubscribers) return
    this.#publishedOf(connection).state = 'new'
    if (this.#open.hasSubscribers) this.#open.publish(this.#about(connection) satisfies ConnectionOpenMessage)
  }

  changed (connection: Connection): void {
    if (!this.#state.hasSubscribers) return
    const { state } = connection
    const published = this.#publishedOf(connection)
    const { state: previous } = published
    if (state === 'closed' || state === previous) return
    published.state = state
    this.#state.publish({ ...this.#about(connection), state, previous, ...connection.currentRequest() } satisfies ConnectionStateMessage)
  }

  closed (connection: Connection): void {
    if (!this.#close.hasSubscribers) return
    const { lastState: state, age, error } = connection
    const outcome = connection.outcome as ConnectionOutcome
    this.#close.publish({ ...this.#about(connection), outcome, state, age, error, ...connection.currentRequest() } satisfies ConnectionCloseMessage)
  }

  phase (phase: DrainPhase, reason: string, connections: ConnectionCounts): void {
    if (this.#phase.hasSubscribers) this.#phase.publish({ drain: this.#drain(), phase, reason, connections } satisfies PhaseMessage)
  }

  finished (report: DrainReport): void {
    if (this.#report.hasSubscribers) this.#report.publish({ drain: this.#drain(), report } satisfies ReportMessage)
  }

  #publishedOf ({ transport }: Connection): Published {
    let published = this.#published.get(transport)
    if (published === undefined) this.#published.set(transport, published = { id: ++this.#lastId, state: null })
    return published
  }

  #about (connection: Connection): ConnectionMessage {
    return { drain: this.#drain(), id: this.#publishedOf(connection).id, ...addressOf(connection) }
  }
}

function addressOf ({ transport: { remoteAddress, remotePort } }: Connection): Pick<ConnectionMessage, 'remoteAddress' | 'remotePort'> {
  return { remoteAddress: remoteAddress ?? null, remotePort: remotePort ?? null }
}
