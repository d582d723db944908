import type { Clock } from '../../lib/clock.ts'

interface Timer {
  due: number
  every: number | null
  fn: () => void
}

const longest = 2 ** 31 - 1

/** A clock that stands still until it is told to go on; event-loop turns have to be told, too. */
export class FakeClock implements Clock {
  #now = 0
  #timers: Timer[] = []
  #turns: Array<() => void> = []

  /** How many timers are set. */
  get timers (): number { return this.#timers.length }

  /** How many functions wait for the next turn. */
  get waiting (): number { return this.#turns.length }

  now (): number { return this.#now }

  after (ms: number, fn: () => void): () => void { return this.#set(ms, null, fn) }

  every (ms: number, fn: () => void): () => void { return this.#set(ms, ms, fn) }

  turn (fn: () => void): void { this.#turns.push(fn) }

  /** Lets `ms` milliseconds pass: timers fire in the order in which they are due, turns wait. */
  advance (ms: number): void {
    const end = this.#now + ms
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.due)
      if (next.every === null) this.#remove(next)
      else next.due += next.every
      next.fn()
    }
    this.#now = end
  }

  /** Ends one turn of the event loop; what is asked for meanwhile waits for the one after. */
  nextTurn (): void {
    for (const fn of this.#turns.splice(0)) fn()
  }

  /** Like advance(), with turns as they come, and time for promises and sockets between any two steps. */
  async pass (ms: number): Promise<void> {
    const end = this.#now + ms
    await this.#settle()
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.advance(next.due - this.#now)
      await this.#settle()
    }
    this.#now = end
  }

  async #settle (): Promise<void> {
    do {
      this.nextTurn()
      for (let i = 0; i < 3; i++) await new Promise<void>(resolve => { setImmediate(resolve) })
    } while (this.#turns.length > 0)
  }

  #set (ms: number, every: number | null, fn: () => void): () => void {
    // Node would wait for 1 ms instead.
    if (!(ms <= longest)) throw new RangeError(`a timer cannot wait for ${ms} ms`)
    const timer = { due: this.#now + ms, every, fn }
    this.#timers.push(timer)
    return () => this.#remove(timer)
  }

  #remove (timer: Timer): void {
    this.#timers = this.#timers.filter(other => other !== timer)
  }

  #next (end: number): Timer | undefined {
    return this.#timers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0]
  }
}
