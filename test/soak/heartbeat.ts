import type { Story } from './journal.ts'

// In ms.
const beat = 20
const notable = 300
const remembered = 15_000

/** Whether this process stands still, so that it sees late what has arrived. */
export class Heartbeat {
  readonly #story: Story
  readonly #timer: NodeJS.Timeout
  #last = performance.now()
  #stalls: Array<{ at: number, length: number }> = []

  constructor (story: Story) {
    this.#story = story
    this.#timer = setInterval(() => this.#beat(), beat)
  }

  #beat (): void {
    const now = performance.now()
    const length = now - this.#last - beat
    this.#last = now
    if (length > notable) this.#story.tell(`stood still for ${Math.round(length)} ms`)
    if (length > beat) this.#stalls.push({ at: now, length })
    this.#stalls = this.#stalls.filter(({ at }) => now - at < remembered)
  }

  /** How long it stood still at most lately, until now, in ms. */
  get longest (): number {
    return Math.max(performance.now() - this.#last, ...this.#stalls.map(({ length }) => length))
  }

  stop (): void {
    clearInterval(this.#timer)
  }
}
