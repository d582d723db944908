import type { PassedListener } from '../listen/inherited.ts'
import { Channel } from './channel.ts'
import type { Line } from './line.ts'
import type { Order, Reply } from './protocol.ts'
import type { Ending, Successor } from './successor.ts'

/** The worker of node:cluster that takes over from this one. Their primary starts it, and passes on what they say. */
export class OtherWorker implements Successor {
  readonly channel: Channel<Reply, Order>
  readonly name = 'another worker'
  readonly #line: Line
  #pid: number | undefined
  #hasEnded = false

  constructor (line: Line, passed: PassedListener[], readyTimeout: number) {
    this.#line = line
    this.channel = new Channel(line)
    line.once('started', pid => { this.#pid = pid })
    line.tell({ type: 'start', listeners: passed.map((listener, i) => ({ ...listener, fd: i })), readyTimeout })
  }

  get pid (): number | undefined {
    return this.#pid
  }

  get hasEnded (): boolean {
    return this.#hasEnded
  }

  listener (i: number): number {
    return i
  }

  watch (onEnd: (how: string) => void): void {
    this.#line.once('ended', how => {
      this.#hasEnded = true
      onEnd(how)
    })
  }

  end ({ patience, isEnding }: Ending): void {
    if (!this.#hasEnded) this.#line.tell({ type: 'end', patience, isEnding })
  }
}
