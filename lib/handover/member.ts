import type { Server } from 'node:net'
import type { Drain } from '../drain.ts'
import type { LeaveListener } from '../listen/leave-listener.ts'
import type { Listeners } from '../listen/listeners.ts'
import type { HandoverSettings } from '../options.ts'
import type { Log } from '../progress.ts'
import type { ServiceManager } from '../service-manager.ts'
import { depart } from './departure.ts'
import type { Member } from './handover.ts'
import type { Mover } from './mover.ts'

export interface MemberEnv {
  settings: HandoverSettings
  log: Log
  drain: Drain
  listeners: Listeners
  serviceManager: ServiceManager | null
}

/** One app that can go to a successor. */
export class AppMember implements Member {
  readonly log: Log
  readonly signal: HandoverSettings['signal']
  readonly readyTimeout: number
  readonly #env: MemberEnv
  #mover: Mover | null = null
  #listenerOf: (server: Server) => number | undefined = () => undefined
  #successor: number | null = null

  constructor (env: MemberEnv) {
    this.log = env.log
    this.signal = env.settings.signal
    this.readyTimeout = env.settings.readyTimeout
    this.#env = env
  }

  get closing (): AbortSignal {
    return this.#env.drain.signal
  }

  passed (): ReturnType<Listeners['passed']> {
    const { drain, listeners } = this.#env
    return listeners.passed(drain.connections.servers)
  }

  begun (): void {
    this.#env.serviceManager?.reloading()
  }

  depart (mover: Mover, listenerOf: (server: Server) => number | undefined): () => void {
    this.#mover = mover
    this.#listenerOf = listenerOf
    return depart(this.#env.drain.connections, mover, listenerOf)
  }

  succeeded (pid: number): void {
    this.#successor = pid
    this.#env.drain.hasSuccessor = true
    this.#env.serviceManager?.reloaded(pid)
  }

  /** `true`: it died when this process had begun to leave. */
  get hasLostSuccessor (): boolean {
    return this.#successor !== null && this.#mover === null
  }

  failed (): void {
    this.#mover = null
    this.#env.drain.hasSuccessor = false
    if (this.#successor === null && !this.closing.aborted) this.#env.serviceManager?.reloaded(null)
  }

  /** Stops listening: what a successor listens on as well can be left at any moment. */
  readonly leave: LeaveListener = async (server, stop) => {
    const { listeners } = this.#env
    // The successor does not listen on an address that it did not ask for.
    if (this.#mover === null || this.#listenerOf(server) === undefined) return listeners.leave(server, stop)
    await this.#mover.settled()
    await listeners.leaveTo(server, stop)
    // In a worker of node:cluster others may have come meanwhile.
    await this.#mover?.settled()
  }
}
