import type { Clock } from './clock.ts'
import type { Connection } from './connection.ts'

// More would stall the event loop: each close is a system call and a handful of listeners.
const perTurn = 64

interface Waiting {
  connection: Connection
  due: number
}

/**
 * Closes connections when the time that they may stay idle is over: in the order they came in, a bounded
 * number per turn of the event loop, and none whose bytes have arrived without being read yet.
 */
export class IdleCloser {
  readonly #clock: Clock
  #queue: Waiting[] = []
  #running = false
  #cancel = () => {}

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** Closes it at `due`, and not before those that were added before it. */
  add (connection: Connection, due: number): void {
    this.#queue.push({ connection, due })
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
    this.#cancel = this.#clock.after(Math.max(0, next.due - this.#clock.now()), () => this.#closeDue())
  }

  #closeDue (): void {
    const due = this.#takeDue()
    const read = due.map(connection => connection.socket.bytesRead)
    this.#clock.turn(() => {
      due.forEach((connection, i) => {
        if (!connection.isQuiet) return
        if (connection.socket.bytesRead === read[i]) connection.leave(0)
        // Bytes that are no request, such as an empty line: look again in the next turn.
        else this.add(connection, this.#clock.now())
      })
      this.#schedule()
    })
  }

  // A connection that is busy leaves the queue: the end of its answer takes care of it.
  #takeDue (): Connection[] {
    const now = this.#clock.now()
    const end = this.#queue.findIndex(({ due }, i) => i >= perTurn || due > now)
    const taken = this.#queue.splice(0, end === -1 ? this.#queue.length : end)
    return taken.map(({ connection }) => connection).filter(connection => connection.isQuiet)
  }
}
