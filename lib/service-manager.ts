import type { Clock } from './clock.ts'
import type { Log } from './progress.ts'

// How often the service manager hears that a drain goes on, and how long it shall wait for the next word, in ms.
const interval = 1000
const extension = 5000

/*
 * A process is one service, whatever number of apps, and of copies of this package, it contains: they meet at a symbol
 * of the global registry.
 */
const meetingPoint = Symbol.for('fastify-drain.serving.v1')

type Host = typeof process & { [meetingPoint]?: Set<object> }

export interface ServiceManagerEnv {
  /** Sends a message of sd_notify(3). */
  send (message: string): void
  clock: Clock
  log: Log
  /** This process is a worker: the service is its primary. */
  isWorker?: boolean
  host?: Host
}

/** Tells the service manager (systemd, Type=notify) what it wants to know of this app. */
export class ServiceManager {
  readonly #send: (message: string) => void
  readonly #clock: Clock
  readonly #log: Log
  readonly #serving: Set<object>
  readonly #isWorker: boolean
  #failed = false
  #stop = () => {}

  constructor ({ send, clock, log, isWorker = false, host = process }: ServiceManagerEnv) {
    this.#send = send
    this.#clock = clock
    this.#log = log
    this.#isWorker = isWorker
    host[meetingPoint] ??= new Set()
    this.#serving = host[meetingPoint]
  }

  /** The app listens. `told`: whoever went before tells the service manager. */
  ready (told = false): void {
    this.#serving.add(this)
    if (!told) this.#say('READY=1')
    // That it stops, or has a successor, says nothing of the service.
    if (this.#isWorker) this.#serving.clear()
  }

  /** A successor is being started. */
  reloading (): void {
    // CLOCK_MONOTONIC, by which the service manager knows which word is the newer one.
    this.#say(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`)
  }

  /** That is over: the service is this process as before, or its successor from now on. */
  reloaded (successor: number | null): void {
    if (successor === null) return this.#say('READY=1')
    this.#say(`MAINPID=${successor}\nREADY=1`)
    // This process stops, the service does not.
    this.#serving.clear()
  }

  /** A drain has begun; `status` says in words how far it is. The service stops with its last app. */
  stopping (status: () => string): void {
    if (!this.#serving.delete(this)) return
    const goesOn = (): void => {
      if (this.#serving.size === 0) this.#say(`EXTEND_TIMEOUT_USEC=${1000 * extension}\nSTATUS=${status()}`)
    }
    if (this.#serving.size === 0) this.#say('STOPPING=1')
    goesOn()
    this.#stop = this.#clock.every(interval, goesOn)
  }

  /** The app is closed. */
  stopped (): void {
    this.#stop()
  }

  #say (message: string): void {
    if (this.#failed) return
    try {
      this.#send(message)
    } catch (error) {
      this.#failed = true
      this.#log.warn({ err: error }, 'the service manager cannot be notified at NOTIFY_SOCKET; systemd may believe that the service does not start or stop')
    }
  }
}
