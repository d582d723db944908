/** What must not happen, and what there is to know of it. */
export interface Violation {
  kind: string
  what: string
  /** Since the beginning, in ms. */
  at: number
  /** The last events of the connection, and of the service. */
  trace: string[]
}

/** The name of the story of this process. */
export const harness = 'the harness'

// Events that are kept of each connection, and of each service.
const kept = { connection: 12, service: 16 }

/** The last events of one connection, or of one service. */
export class Story {
  readonly name: string
  readonly #clock: () => number
  readonly #length: number
  readonly #events: Array<{ at: number, text: string }> = []

  constructor (name: string, clock: () => number, length: number) {
    this.name = name
    this.#clock = clock
    this.#length = length
  }

  tell (text: string): void {
    this.#events.push({ at: this.#clock(), text })
    if (this.#events.length > this.#length) this.#events.shift()
  }

  get events (): ReadonlyArray<{ at: number, text: string }> {
    return this.#events
  }
}

/** What happened, as far as it is needed to understand a violation. */
export class Journal {
  readonly #began = performance.now()
  readonly #services = new Map<string, Story>()
  readonly #onViolation: (violation: Violation) => void
  readonly violations: Violation[] = []

  constructor (onViolation: (violation: Violation) => void = () => {}) {
    this.#onViolation = onViolation
  }

  /** Since the beginning, in ms. */
  get now (): number {
    return performance.now() - this.#began
  }

  service (name: string): Story {
    const story = this.#services.get(name) ?? new Story(name, () => this.now, kept.service)
    this.#services.set(name, story)
    return story
  }

  /** Of one connection, or of a client that has one after the other. */
  connection (name: string): Story {
    return new Story(name, () => this.now, kept.connection)
  }

  violation (kind: string, what: string, ...stories: Story[]): void {
    const trace = [...new Set([...stories, this.service(harness)])].flatMap(({ name, events }) => events.map(({ at, text }) => ({ at, line: `${seconds(at)} ${name}: ${text}` })))
      .sort((a, b) => a.at - b.at).map(({ line }) => line)
    const violation = { kind, what, at: this.now, trace }
    this.violations.push(violation)
    this.#onViolation(violation)
  }
}

export function seconds (ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`
}
