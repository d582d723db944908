import type { Clock } from './clock.ts'

// More would stall the event loop: each costs system calls and a handful of listeners.
const perTurn = 64

interface Waiting<T> {
  item: T
  due: number
}

/** Hands out what is due, in the order it came in, a bounded number per turn of the event loop. */
export class Paced<T> {
  readonly #clock: Clock
  readonly #take: (items: T[]) => void
  #queue: Array<Waiting<T>> = []
  #running = false
  #cancel = () => {}

  constructor (clock: Clock, take: (items: T[]) => void) {
    this.#clock = clock
    this.#take = take
  }

  /** Hands it out at `due`, and not before those that were added before it. */
  add (item: T, due: number): void {
    this.#queue.push({ item, due })
    if (!this.#running) this.#schedule()
  }

  stop (): void {
    this.#queue = []
    this.#running = false
    this.#cancel()
  }

  #schedule (): void {
    const next = this.#queue[0]
    this.#running = next !== undefined
    if (next === undefined) return
    this.#cancel = this.#clock.after(Math.max(0, next.due - this.#clock.now()), () => {
      this.#take(this.#takeDue())
      this.#clock.turn(() => this.#schedule())
    })
  }

  #takeDue (): T[] {
    const now = this.#clock.now()
    const end = this.#queue.findIndex(({ due }, i) => i >= perTurn || due > now)
    const taken = this.#queue.splice(0, end === -1 ? this.#queue.length : end)
    return taken.map(({ item }) => item)
  }
}
