import type { Connection } from './connection.ts'
import type { ConnectionCounts } from './connections.ts'
import type { DrainPhase, DrainReport } from './report.ts'

/**
 * Hears how connections live, and how a drain goes. What has become of a connection is asked of the connection itself.
 */
export interface Observer {
  /** Whether anybody wants to know; while nobody does, nothing is told. */
  readonly isActive: boolean
  /** Whether anybody wants to know of states: each request costs a little then. */
  readonly wantsStates: boolean
  /**
   * A drain has begun; these connections are open. Told to those who are not active as well: they may be from now on.
   * `began`: on the clock.
   */
  begin? (began: number, connections: readonly Connection[]): void
  opened (connection: Connection): void
  /** Its state may be another one now; told from when `wantsStates` was seen. */
  changed (connection: Connection): void
  /** It has closed, and its outcome is known. */
  closed (connection: Connection): void
  /** `connections`: those that are open. */
  phase (phase: DrainPhase, reason: string, connections: ConnectionCounts): void
  /** No connection is left. */
  finished (report: DrainReport): void
}

/** Tells all of them. */
export class Observers implements Observer {
  readonly #observers: Observer[]

  constructor (observers: Observer[]) {
    this.#observers = observers
  }

  get isActive (): boolean { return this.#observers.some(({ isActive }) => isActive) }
  get wantsStates (): boolean { return this.#observers.some(({ wantsStates }) => wantsStates) }
  begin (began: number, connections: readonly Connection[]): void { for (const observer of this.#observers) observer.begin?.(began, connections) }
  opened (connection: Connection): void { this.#tell(observer => observer.opened(connection)) }
  changed (connection: Connection): void { this.#tell(observer => observer.changed(connection)) }
  closed (connection: Connection): void { this.#tell(observer => observer.closed(connection)) }
  phase (...all: Parameters<Observer['phase']>): void { this.#tell(observer => observer.phase(...all)) }
  finished (report: DrainReport): void { this.#tell(observer => observer.finished(report)) }

  #tell (what: (observer: Observer) => void): void {
    for (const observer of this.#observers) if (observer.isActive) what(observer)
  }
}
