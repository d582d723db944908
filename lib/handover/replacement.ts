import type { SendHandle } from 'node:child_process'
import type { Worker } from 'node:cluster'
import { errors } from '../errors.ts'
import { unwrap, wrap, type ToPrimary, type ToWorker } from './line.ts'
import { open, speaks, variable } from './protocol.ts'

export interface ReplacementEnv {
  /** Resolves when nothing comes to the old worker any more from the one that it has replaced. */
  arrived: Promise<void>
  /** Starts a worker with this in its environment. */
  fork (env: Record<string, string>): Worker
}

interface Handle { close (): void }

// How long the old worker may take for its first word, in ms.
const patience = 5000

// Until nothing comes from a worker any more that has ended, in ms.
const exitPatience = 200

/**
 * One worker takes over from another, as their primary sees it: it starts the one, and passes on what the two say to each
 * other, descriptors included. The old worker decides what becomes of it, as any process does that hands over.
 */
export class Replacement {
  readonly #old: Worker
  readonly #fork: ReplacementEnv['fork']
  #new: Worker | null = null
  /** Descriptors of which the new worker may not have its copy yet. */
  readonly #passing = new Set<Handle>()
  #cancelPatience = (): void => {}
  /** The new worker, when it serves. */
  readonly successor: Promise<Worker>
  /** Resolves when the old worker has ended. */
  readonly over: Promise<void>
  hasFailed = false
  #readyTimeout = 0
  #isListening = false
  #hasLeft = false
  /** The old worker has ended. */
  #isAlone = false
  #succeed!: (worker: Worker) => void
  #fail!: (error: Error) => void
  #end!: () => void

  constructor (old: Worker, { arrived, fork }: ReplacementEnv) {
    this.#old = old
    this.#fork = fork
    this.over = new Promise(resolve => { this.#end = resolve })
    this.successor = new Promise((resolve, reject) => {
      this.#succeed = resolve
      this.#fail = error => {
        this.hasFailed = true
        reject(error)
      }
    })
    arrived.then(() => this.#begin(), () => {})
  }

  #begin (): void {
    const { pid } = this.#old.process
    if (!this.#old.isConnected()) return this.#fail(new errors.Handover(`worker ${pid} has ended`, 'fork another one'))
    this.#old.on('message', this.#hearOld)
    whenGone(this.#old, this.#oldEnded)
    this.#expect(patience, () => {
      this.#leave()
      this.#fail(new errors.Handover(`worker ${pid} does not answer`, 'register the plugin in it with { handover: true }, and try again when it listens'))
    })
    tell(this.#old, { type: 'begin' })
  }

  readonly #hearOld = (message: unknown, handle?: unknown): void => {
    const order = unwrap<ToPrimary>(message)
    if (order === null) return this.#passOn(this.#new, message, handle as Handle | undefined)
    this.#cancelPatience()
    switch (order.type) {
      case 'start': return this.#start(order)
      case 'end': return end(this.#new, order.patience, order.isEnding)
      case 'bye': return tell(this.#new, { type: 'lost' })
      case 'succeeded': return this.#succeed(this.#new as Worker)
      case 'failed':
        this.#leave()
        return this.#fail(Object.assign(new errors.Handover('', ''), { message: order.message }))
    }
  }

  #start ({ listeners, readyTimeout }: ToPrimary & { type: 'start' }): void {
    const { pid: predecessor } = this.#old.process
    const worker = this.#fork({ [variable]: JSON.stringify({ speaks, predecessor, listeners }) })
    this.#new = worker
    this.#readyTimeout = readyTimeout
    worker.on('message', this.#hearNew)
    worker.once('listening', () => {
      this.#isListening = true
      if (this.#isAlone) this.#serveAlone(worker)
    })
    worker.once('exit', (code, signal) => this.#newEnded(signal === null ? `it has ended with code ${code}` : `it was ended by ${signal}`))
    whenGone(worker, () => { for (const handle of this.#passing) handle.close() })
    tell(this.#old, { type: 'started', pid: worker.process.pid as number })
  }

  readonly #hearNew = (message: unknown, handle?: unknown): void => {
    const order = unwrap<ToPrimary>(message)
    if (order === null) this.#passOn(this.#old, message, handle as Handle | undefined)
    else if (order.type === 'bye') tell(this.#old, { type: 'lost' })
  }

  #passOn (to: Worker | null, message: unknown, handle: Handle | undefined): void {
    if (open(message) === null) return
    if (to?.isConnected() !== true) return handle?.close()
    if (handle !== undefined) this.#passing.add(handle)
    to.process.send(message as object, handle as unknown as SendHandle, {}, () => {
      if (handle !== undefined && this.#passing.delete(handle)) handle.close()
    })
  }

  #newEnded (how: string): void {
    if (!this.#hasLeft) tell(this.#old, { type: 'ended', how })
    if (!this.#isAlone) return
    this.#cancelPatience()
    this.#fail(new errors.Handover(how, 'see the output of the new worker, mend the cause and fork another one'))
  }

  // At the end of its drain, or killed. The new one listens where the primary does, so it serves all the same.
  readonly #oldEnded = (): void => {
    if (this.#hasLeft) return
    this.#leave()
    this.#end()
    this.#isAlone = true
    const successor = this.#new
    if (successor === null) return this.#fail(new errors.Handover(`worker ${this.#old.process.pid} has ended`, 'fork another one'))
    tell(successor, { type: 'lost' })
    if (this.#isListening) this.#serveAlone(successor)
    else this.#expect(this.#readyTimeout, () => end(successor, 0))
  }

  #serveAlone (successor: Worker): void {
    this.#cancelPatience()
    this.#succeed(successor)
  }

  /** Passes nothing on any more: it may be for another replacement. */
  #leave (): void {
    this.#hasLeft = true
    this.#cancelPatience()
    this.#old.off('message', this.#hearOld)
    this.#new?.off('message', this.#hearNew)
  }

  #expect (ms: number, otherwise: () => void): void {
    const timer = setTimeout(otherwise, ms)
    this.#cancelPatience = () => clearTimeout(timer)
  }
}

// Node says nothing of the end of a channel when a descriptor was on its way there. What was said before is read by then.
function whenGone (worker: Worker, fn: () => void): void {
  let timer: NodeJS.Timeout | undefined
  const exited = (): void => { timer = setTimeout(gone, exitPatience) }
  const gone = (): void => {
    worker.off('exit', exited)
    worker.off('disconnect', gone)
    clearTimeout(timer)
    fn()
  }
  worker.once('exit', exited)
  worker.once('disconnect', gone)
}

function tell (worker: Worker | null, message: ToWorker): void {
  // Whether it gets there shows in what it does.
  if (worker?.isConnected() === true) worker.process.send(wrap(message), undefined, {}, () => {})
}

function end (worker: Worker | null, patience: number, isEnding = false): void {
  if (worker === null || worker.isDead()) return
  if (!isEnding) worker.process.kill('SIGTERM')
  const timer = setTimeout(() => worker.process.kill('SIGKILL'), patience)
  worker.once('exit', () => clearTimeout(timer))
}
