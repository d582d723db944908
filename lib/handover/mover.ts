import type { Clock } from '../clock.ts'
import type { Luggage } from '../connection.ts'
import type { Channel } from './channel.ts'
import type { Order, Reply } from './protocol.ts'

/** A connection that can move. */
export interface Movable {
  /** The listener that it came to, as the successor knows it. */
  readonly listener: number
  /** Node's handle of its socket; `null`: it is closed. */
  readonly handle: object | null
  /** Nothing is being received, answered or written. */
  readonly isFree: boolean
  describe (): Luggage
  /** It belongs to the successor: closes our copy, without a word to the peer. */
  release (): void
  /** It stays: nobody will take it any more. */
  keep (): void
}

export interface MoverEnv {
  channel: Pick<Channel<Reply, Order>, 'send'>
  clock: Clock
  /** The successor has had work for too long. */
  onStuck (): void
}

// How many connections change hands at once. Each takes the successor a fraction of a millisecond, in which it serves nobody.
const perBatch = 16

// How long the successor may take for one step, in ms.
const patience = 5000

/**
 * Moves connections to a successor, a few at a time, in two steps. First their descriptors, which takes long, and while
 * which they are served here as ever. Then, in one word for all of them that are free at that moment, who serves them: we
 * close our copies and say so. What has come meanwhile is in the kernel, and the successor reads it.
 */
export class Mover {
  readonly #env: MoverEnv
  readonly #ids = new Map<Movable, number>()
  /** Not offered yet. */
  readonly #queue = new Set<Movable>()
  /** The successor has not said yet that the descriptor has come. */
  readonly #offered = new Map<number, Movable>()
  /** The successor has the descriptor. */
  readonly #held = new Map<number, Movable>()
  /** Of those, the ones that have become free. */
  readonly #free = new Set<Movable>()
  /** Not ours any more, and the successor has not said yet that it serves them. */
  #given = new Set<number>()
  #lastId = 0
  /** The successor serves connections that came from here. */
  hasGiven = false
  #isLost = false
  #cancelPatience: (() => void) | null = null
  #waiting: Array<() => void> = []

  constructor (env: MoverEnv) {
    this.#env = env
  }

  /** It may move as soon as it is free, which it is now. */
  offer (item: Movable): void {
    if (this.#isLost) return item.keep()
    const id = this.#ids.get(item)
    if (id === undefined) this.#queue.add(item)
    else if (this.#held.has(id)) this.#free.add(item)
    this.#goOn()
  }

  /** It has closed. */
  forget (item: Movable): void {
    const id = this.#ids.get(item)
    this.#ids.delete(item)
    this.#queue.delete(item)
    this.#free.delete(item)
    if (id === undefined || !(this.#offered.delete(id) || this.#held.delete(id))) return
    // Until its copy is closed the peer sees no FIN.
    this.#env.channel.send({ type: 'forget', ids: [id] })
    this.#goOn()
  }

  hear (reply: Reply): void {
    // It is at work. That somebody else wants to go there says nothing of it.
    this.#stopWatching()
    if (reply.type === 'have') this.#has(reply.id)
    if (reply.type === 'took') for (const id of reply.ids) this.#given.delete(id)
    this.#goOn()
  }

  #has (id: number): void {
    const item = this.#offered.get(id)
    if (item === undefined) return
    this.#offered.delete(id)
    this.#held.set(id, item)
    this.#free.add(item)
  }

  #goOn (): void {
    if (this.#isLost) return
    // What is said now would wait behind the descriptors that are on their way.
    if (this.#offered.size === 0) {
      if (this.#given.size === 0) this.#give()
      this.#offerMore()
    }
    this.#watch()
    if (this.#isIdle) for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #offerMore (): void {
    for (const item of this.#queue) {
      if (this.#offered.size === perBatch) return
      this.#queue.delete(item)
      if (item.handle === null) continue
      const id = ++this.#lastId
      this.#ids.set(item, id)
      this.#offered.set(id, item)
      this.#env.channel.send({ type: 'offer', id, listener: item.listener }, item.handle)
    }
  }

  #give (): void {
    const connections: Array<Luggage & { id: number }> = []
    for (const item of this.#free) {
      if (connections.length === perBatch) break
      this.#free.delete(item)
      if (!item.isFree) continue
      const id = this.#ids.get(item) as number
      connections.push({ id, ...item.describe() })
      this.#held.delete(id)
      this.#ids.delete(item)
      this.#given.add(id)
      item.release()
    }
    if (connections.length === 0) return
    this.hasGiven = true
    this.#env.channel.send({ type: 'yours', connections })
  }

  // Nothing moves, and nothing could.
  get #isIdle (): boolean {
    return this.#isLost || this.#queue.size + this.#offered.size + this.#free.size + this.#given.size === 0
  }

  #watch (): void {
    const isWaiting = this.#offered.size + this.#given.size > 0
    if (isWaiting) this.#cancelPatience ??= whenOverdue(this.#env.clock, patience, () => this.#env.onStuck())
    else this.#stopWatching()
  }

  #stopWatching (): void {
    this.#cancelPatience?.()
    this.#cancelPatience = null
  }

  /** Resolves when everything that is free has moved, or nothing can move any more. */
  async settled (): Promise<void> {
    if (!this.#isIdle) await new Promise<void>(resolve => { this.#waiting.push(resolve) })
  }

  /** The successor takes nothing any more. What was given to it was its own. */
  lost (): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#stopWatching()
    const kept = [...this.#queue, ...this.#offered.values(), ...this.#held.values()]
    if (this.#offered.size + this.#held.size > 0) this.#env.channel.send({ type: 'forget', ids: [...this.#offered.keys(), ...this.#held.keys()] })
    for (const collection of [this.#ids, this.#queue, this.#offered, this.#held, this.#free, this.#given]) collection.clear()
    for (const item of kept) item.keep()
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/** Like clock.after(), but what has come meanwhile is heard first: this process may have been stopped, or too busy. */
export function whenOverdue (clock: Clock, ms: number, fn: () => void): () => void {
  let isCancelled = false
  const cancel = clock.after(ms, () => clock.turn(() => { if (!isCancelled) fn() }))
  return () => {
    isCancelled = true
    cancel()
  }
}
