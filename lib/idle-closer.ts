import type { Clock } from './clock.ts'
import type { Connection } from './connection.ts'
import { Paced } from './paced.ts'

/** Closes connections when the time that they may stay idle is over, and none whose bytes have arrived without being read yet. */
export class IdleCloser {
  readonly #clock: Clock
  readonly #due: Paced<Connection>

  constructor (clock: Clock) {
    this.#clock = clock
    this.#due = new Paced(clock, connections => this.#close(connections))
  }

  /** Closes it at `due`, and not before those that were added before it. */
  add (connection: Connection, due: number): void {
    this.#due.add(connection, due)
  }

  stop (): void {
    this.#due.stop()
  }

  // A connection that is busy leaves the queue: the end of its answer takes care of it.
  #close (connections: Connection[]): void {
    const quiet = connections.filter(connection => connection.isQuiet)
    const read = quiet.map(connection => connection.socket.bytesRead)
    this.#clock.turn(() => {
      quiet.forEach((connection, i) => {
        if (!connection.isQuiet) return
        // A session goes on with the streams that it has, whatever arrives.
        if (connection.session !== null || connection.socket.bytesRead === read[i]) connection.leave(0)
        // Bytes that are no request, such as an empty line: look again in the next turn.
        else this.add(connection, this.#clock.now())
      })
    })
  }
}
