import type { Duplex } from 'node:stream'
import type { Clock } from './clock.ts'
import type { Connection } from './connection.ts'
import type { RetirementPlan } from './close-schedule.ts'
import { Connections } from './connections.ts'
import type { LeaveListener } from './listen/leave-listener.ts'
import { Moments } from './moments.ts'
import type { Observer } from './observer.ts'
import { hooksAfterDeadline, type Settings } from './options.ts'
import type { Sockets } from './os/sockets.ts'
import { Progress, type Log } from './progress.ts'
import { UpgradeClosers, type UpgradeCloser } from './protocols/upgraded.ts'
import { Ledger, type DrainPhase, type DrainReport } from './report.ts'

// Long enough for a look-up of `localhost`; an onListen hook of the app can keep listen() busy for ever.
const listenPatience = 1000

// How long behind the lame duck an HTTP/2 session can wait for its end if no deadline says it, in ms.
const longestCall = 12_500

// How long its peer may take to answer a PING, in ms.
const longestPing = 5000

export interface DrainEnv {
  settings: Settings
  clock: Clock
  log: Log
  sockets: Sockets
  observer: Observer
  /** Closes a listener without losing a connection. */
  leave: LeaveListener
  /** Resolves when no listen() is under way. */
  listenSettled (): Promise<void>
  /** Runs Fastify's own close(). */
  closeApp (): Promise<unknown>
}

/** Something that happens once, and those who wait for it. */
function once (): { promise: Promise<void>, happen: () => void } {
  let happen!: () => void
  const promise = new Promise<void>(resolve => { happen = resolve })
  return { promise, happen }
}

/** Takes an app from serving to closed, once, under one deadline. */
export class Drain {
  readonly connections: Connections
  readonly moments = new Moments()
  /** Another process serves, on the same listeners: nobody has to be told to stay away. */
  hasSuccessor = false
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #listenSettled: () => Promise<void>
  readonly #closeApp: () => Promise<unknown>
  readonly #ledger: Ledger
  readonly #observer: Observer
  readonly #progress: Progress
  readonly #closers: UpgradeClosers
  #phase: DrainPhase = 'serving'
  #reason = ''
  #report: DrainReport | null = null
  #drained: Promise<DrainReport> | null = null
  #closed: Promise<DrainReport> | null = null
  #gaveUpOnHooks = false
  #isHardStopped = false
  readonly #hardStopped = once()

  constructor ({ settings, clock, log, sockets, observer, leave, listenSettled, closeApp }: DrainEnv) {
    this.#settings = settings
    this.#clock = clock
    this.#observer = observer
    this.#listenSettled = listenSettled
    this.#closeApp = closeApp
    this.#ledger = new Ledger(clock)
    this.#progress = new Progress(log, clock)
    this.#closers = new UpgradeClosers(error => this.#progress.closerFailed(error))
    this.connections = new Connections({ clock, times: settings, sockets, closers: this.#closers, leave, observer, rotation: settings }, {
      onLate: () => this.#ledger.accepted(),
      onServed: () => this.#ledger.served(),
      onTimedOut: connection => this.#ledger.straggler(connection, 'timed-out'),
      onClosed: connection => this.#ended(connection)
    })
  }

  get phase (): DrainPhase { return this.#phase }
  get signal (): AbortSignal { return this.moments.signalAt('begin') }
  get report (): DrainReport | null { return this.#report }
  get lostPeers (): number { return this.#ledger.lostPeers }

  /** Drains, closes Fastify, and resolves with the report. Every caller gets the same promise. */
  begin (reason: string): Promise<DrainReport> {
    if (this.#closed === null) {
      this.#drained = this.#drain(reason)
      this.#closed = this.#close(this.#drained)
      // Last, because whoever listens may call begin() again.
      this.moments.reached('begin', reason)
    }
    return this.#closed
  }

  /** Begins a drain, and resolves when no connection is left and Fastify's own close() can go on. */
  async drained (reason: string): Promise<void> {
    // Whoever closes Fastify hears of what goes wrong there.
    this.begin(reason).catch(() => {})
    await this.#drained
  }

  async #drain (reason: string): Promise<DrainReport> {
    const { connections } = this
    const { shutdownDelay, hardStopAfter } = this.#settings
    this.#reason = reason
    connections.closeGivenUp()
    this.#ledger.begin(reason, connections.size)
    this.#progress.begin(connections)
    const cancelDeadline = hardStopAfter === false ? () => {} : this.#clock.after(hardStopAfter, () => this.hardStop())

    this.#enter('lame-duck')
    this.#observer.begin?.(this.#ledger.began, connections.all())
    connections.retire(this.#retirementPlan())
    if (connections.listening && !this.hasSuccessor) await this.#orHardStop(this.#wait(shutdownDelay))
    await this.#orHardStop(this.#within(listenPatience, this.#listenSettled()))

    if (!this.#isHardStopped) {
      this.#enter('draining')
      this.moments.reached('draining', reason)
      await this.#orHardStop(this.#empty())
    }

    cancelDeadline()
    // Empty unless it was a hard stop: then every connection has been told to go, and does so at once.
    await connections.empty()
    return this.#finish()
  }

  async #empty (): Promise<void> {
    const { connections, hasSuccessor } = this
    // Whoever is accepted beside a successor goes to it. If it dies, somebody shall still listen.
    if (!hasSuccessor) await connections.leave()
    connections.close()
    // Nor shall whoever comes then keep this process from ending in time.
    await this.#within(hasSuccessor ? this.#half : Infinity, connections.empty())
    if (hasSuccessor) await connections.leave()
    // Who came in the last moments.
    await connections.empty()
  }

  #finish (): DrainReport {
    if (this.#report === null) {
      this.#progress.end()
      this.#enter('closed')
      this.#report = this.#ledger.report()
      this.#progress.summary(this.#report)
      this.#observer.finished(this.#report)
    }
    return this.#report
  }

  async #close (drained: Promise<DrainReport>): Promise<DrainReport> {
    const report = await drained
    await this.#boundedByDeadline(this.#closeApp())
    return report
  }

  /** For a process that ends: drains, closes, and tells whether all went well. */
  async stop (reason: string): Promise<boolean> {
    try {
      const { connections } = await this.begin(reason)
      return connections.cut === 0 && !this.#gaveUpOnHooks
    } catch (error) {
      this.#progress.closeFailed(error)
      return false
    }
  }

  /** For a process that ends right after this call: cuts what is left, and says so. */
  hardStopAndFinish (): void {
    this.hardStop()
    this.#finish()
  }

  /** The deadline: cuts what is left, now. */
  hardStop (): void {
    if (this.#isHardStopped || this.#phase === 'closed') return
    this.#isHardStopped = true
    this.moments.reached('deadline', this.#reason)
    if (this.connections.size > 0) this.#enter('aborting')
    this.connections.cut(this.#settings.hardStop, connection => this.#ledger.straggler(connection, 'cut'))
    this.#hardStopped.happen()
  }

  /** @throws FST_DRAIN_INVALID_CLOSER */
  onUpgradeClose (socket: Duplex, closer: UpgradeCloser): void {
    this.#closers.add(socket, closer)
  }

  #ended (connection: Connection): void {
    this.#ledger.ended(connection)
    if (connection.outcome === 'peer-lost') this.#progress.peerLost(connection)
  }

  #enter (phase: DrainPhase): void {
    this.#phase = phase
    this.#ledger.enter(phase)
    const counts = this.connections.counts()
    this.#progress.phase(phase, this.#reason, counts)
    this.#observer.phase(phase, this.#reason, counts)
  }

  #retirementPlan (): RetirementPlan {
    const { shutdownDelay, idleGrace, closeSpread, peerCloseTimeout, hardStopAfter } = this.#settings
    const budget = hardStopAfter === false ? Infinity : hardStopAfter
    return {
      // A grace that ended after the deadline would let idle connections be cut.
      idleGrace: Math.min(idleGrace, Math.floor(budget / 2)),
      closeSpread,
      peerCloseTimeout,
      // Half of what is left behind the lame duck is for the streams that are open then.
      lastCall: shutdownDelay + Math.min(longestCall, (budget - shutdownDelay) / 2),
      pingTimeout: Math.min(longestPing, (budget - shutdownDelay) / 4)
    }
  }

  // Half of what is left behind the lame duck.
  get #half (): number {
    const { shutdownDelay, hardStopAfter } = this.#settings
    return Math.min(longestCall, (hardStopAfter === false ? Infinity : hardStopAfter - shutdownDelay) / 2)
  }

  #wait (ms: number): Promise<void> {
    return new Promise(resolve => {
      const cancel = this.#clock.after(ms, resolve)
      this.#hardStopped.promise.then(cancel)
    })
  }

  async #orHardStop (step: Promise<unknown>): Promise<void> {
    await Promise.race([step, this.#hardStopped.promise])
  }

  async #boundedByDeadline (closing: Promise<unknown>): Promise<void> {
    const { hardStopAfter } = this.#settings
    const left = hardStopAfter === false ? Infinity : Math.max(hooksAfterDeadline, hardStopAfter - this.#ledger.elapsed)
    if (await this.#within(left, closing)) return
    this.#gaveUpOnHooks = true
    this.#progress.hooksTooSlow()
  }

  /** Whether this step was done in time. */
  async #within (ms: number, step: Promise<unknown>): Promise<boolean> {
    let cancel = () => {}
    const late = new Promise<boolean>(resolve => {
      if (ms !== Infinity) cancel = this.#clock.after(ms, () => resolve(false))
    })
    try {
      return await Promise.race([step.then(() => true), late])
    } finally {
      cancel()
    }
  }
}
