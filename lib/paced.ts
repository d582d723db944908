import type { Clock } from './clock.ts'

// More would stall the event loop: each costs system calls and a handful of listeners.
const perTurn = 64

interface Waiting<T> {
  item: T
  due: number
  next: Waiting<T> | null
}

/** Hands out what is due, in the order it came in, a bounded number per turn of the event loop. */
export class Paced<T> {
  readonly #clock: Clock
  readonly #take: (items: T[]) => void
  // A list, because what is taken from the beginning of an array has all the rest moved up.
  #first: Waiting<T> | null = null
  #last: Waiting<T> | null = null
  #running = false
  #cancel = () => {}

  constructor (clock: Clock, take: (items: T[]) => void) {
    this.#clock = clock
    this.#take = take
  }

  /** Hands it out at `due`, and not before those that were added before it. */
  add (item: T, due: number): void {
    const added = { item, due, next: null }
    if (this.#last === null) this.#first = added
    else this.#last.next = added
    this.#last = added
    if (!this.#running) this.#schedule()
  }

  stop (): void {
    this.#first = this.#last = null
    this.#running = false
    this.#cancel()
  }

  #schedule (): void {
    this.#running = this.#first !== null
    if (this.#first !== null) this.#cancel = this.#clock.after(Math.max(0, this.#first.due - this.#clock.now()), () => this.#handOut())
  }

  #handOut (): void {
    this.#take(this.#takeDue())
    this.#clock.turn(() => {
      // A timer takes a millisecond at least, in which nothing would be handed out.
      if (this.#first !== null && this.#first.due <= this.#clock.now()) this.#handOut()
      else this.#schedule()
    })
  }

  #takeDue (): T[] {
    const now = this.#clock.now()
    const taken: T[] = []
    for (; this.#first !== null && this.#first.due <= now && taken.length < perTurn; this.#first = this.#first.next) taken.push(this.#first.item)
    if (this.#first === null) this.#last = null
    return taken
  }
}
