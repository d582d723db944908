import type { Clock } from './clock.ts'
import type { Connection } from './connection.ts'
import { IdleCloser } from './idle-closer.ts'
import { Paced } from './paced.ts'

export interface RetirementPlan {
  /** How long an idle connection may bring one more request, in ms from the call of retire(). */
  idleGrace: number
  /** Window over which the closes of idle connections are spread, in ms. */
  closeSpread: number
  /** How long the peer may close first after an answer that said close, in ms. */
  peerCloseTimeout: number
  /** When every HTTP/2 session is told at the latest that no further stream is served, in ms from the call of retire(). */
  lastCall: number
  /** How long a PING of HTTP/2 may stay unanswered, in ms. */
  pingTimeout: number
}

/** When each connection hears of the drain, and when it is closed. All times count from when the schedule was made. */
export class CloseSchedule {
  readonly #clock: Clock
  readonly #plan: RetirementPlan
  readonly #idle: IdleCloser
  readonly #announcer: Paced<Connection>
  readonly #upgraded: Paced<Connection>
  readonly #madeAt: number

  constructor (clock: Clock, plan: RetirementPlan) {
    this.#clock = clock
    this.#plan = plan
    this.#madeAt = clock.now()
    this.#idle = new IdleCloser(clock)
    this.#announcer = new Paced(clock, connections => { for (const connection of connections) connection.announce() })
    this.#upgraded = new Paced(clock, connections => {
      for (const connection of connections) connection.leaveUpgraded(plan.peerCloseTimeout)
    })
  }

  /** Window over which the closes are spread, in ms. */
  get closeSpread (): number {
    return this.#plan.closeSpread
  }

  /** A notice of the end, which nothing is closed with. */
  announce (connection: Connection): void {
    this.#announcer.add(connection, this.#madeAt)
  }

  /** When its grace is over; what opened later has a grace of its own. */
  closeWhenIdle (connection: Connection, offset = 0): void {
    this.#idle.add(connection, Math.max(connection.openedAt, this.#madeAt) + this.#plan.idleGrace + offset)
  }

  /** Its answer could not say close any more: the client may close first. */
  closeAfterAnswer (connection: Connection): void {
    this.#idle.add(connection, this.#clock.now() + this.#plan.peerCloseTimeout)
  }

  closeUpgraded (connection: Connection, offset = 0): void {
    this.#upgraded.add(connection, this.#clock.now() + offset)
  }

  stop (): void {
    for (const queue of [this.#idle, this.#announcer, this.#upgraded]) queue.stop()
  }
}
