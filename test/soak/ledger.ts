import type { Journal, Story } from './journal.ts'

/**
 * What the client knows of a request:
 * - `sent`: the answer may still come, or it was refused and is sent again.
 * - `answered`: it came, whole and right; `rejected`: it came, and says that the request was not let in.
 * - `aborted`: the client has gone on purpose, and has no right to an answer.
 * - `crossed`: it met our FIN on the way. The server must not have executed it.
 * - `late`: a message that met our close frame on the way. The server must have read it, and cannot answer it.
 * - `lost`: anything else. It is a violation already.
 */
export type Outcome = 'sent' | 'answered' | 'rejected' | 'aborted' | 'crossed' | 'late' | 'lost'

/** `late`: a message that was read behind our close frame, and cannot be answered any more. */
export type Step = 'run' | 'late'

interface Entry {
  outcome: Outcome
  stories: Story[]
  /** The processes that have executed it. */
  by: number[]
  late: boolean
  /** When the client knew what has become of it. */
  settledAt: number
}

export interface Counts { sent: number, answered: number, rejected: number, refused: number, aborted: number, crossed: number, late: number, lost: number }

// Until then a server may still execute what has no answer, in ms.
const patience = 20_000

/** Whether each request was answered exactly once: what the clients know of each id, and what the servers have written down. */
export class Ledger {
  readonly #journal: Journal
  readonly #open = new Map<string, Entry>()
  /** By kind of request: the first two parts of the id. */
  readonly counts = new Map<string, Counts>()
  executed = 0

  constructor (journal: Journal) {
    this.#journal = journal
  }

  /** How many requests are not judged yet. */
  get pending (): number {
    return this.#open.size
  }

  sent (id: string, ...stories: Story[]): void {
    this.#open.set(id, { outcome: 'sent', stories, by: [], late: false, settledAt: Infinity })
    this.#count(id, 'sent')
    for (const story of stories.slice(0, 1)) story.tell(`${id} is sent`)
  }

  /** The server says that it has not executed it: it will be sent again. */
  refused (id: string): void {
    this.#count(id, 'refused')
    this.#open.get(id)?.stories[0]?.tell(`${id} is refused`)
  }

  answered (id: string, outcome: Exclude<Outcome, 'sent' | 'lost'> = 'answered'): void {
    this.#settle(id, outcome, outcome)
  }

  lost (id: string, why: string): void {
    const stories = this.#settle(id, 'lost', `lost: ${why}`)
    this.#journal.violation('lost', `${id} was not answered: ${why}`, ...stories)
  }

  wrong (id: string, kind: string, why: string): void {
    const stories = this.#settle(id, 'lost', why)
    this.#journal.violation(kind, `${id}: ${why}`, ...stories)
  }

  #settle (id: string, outcome: Outcome, text: string): Story[] {
    const entry = this.#open.get(id)
    if (entry === undefined) throw new Error(`${id} was not sent, or has been judged`)
    if (entry.outcome === 'sent') this.#count(id, outcome)
    entry.outcome = outcome
    entry.settledAt = this.#journal.now
    entry.stories[0]?.tell(`${id}: ${text}`)
    return entry.stories
  }

  /** A line of a server. */
  executedBy (pid: number, step: Step, id: string): void {
    this.executed++
    const entry = this.#open.get(id)
    // Whatever was answered has been judged soon after, and every id was sent by a client of ours.
    if (entry === undefined) return this.#journal.violation('twice', `${id} was executed, again, by process ${pid} when it had been answered`)
    entry.by.push(pid)
    if (step === 'late') entry.late = true
  }

  /**
   * Judges whatever is settled, when all lines of the servers have been read. `isOver`: nothing will be executed any
   * more, and nobody waits for an answer.
   */
  judge (isOver = false): void {
    for (const [id, entry] of this.#open) {
      const isSettled = entry.outcome === 'answered' || this.#journal.now - entry.settledAt > patience
      if (!isSettled && !isOver) continue
      this.#open.delete(id)
      this.#judge(id, entry)
    }
  }

  #judge (id: string, { outcome, by, late, stories }: Entry): void {
    const say = (kind: string, what: string): void => this.#journal.violation(kind, `${id} ${what}`, ...stories)
    if (by.length > 1) say('twice', `was executed ${by.length} times, by ${by.join(', ')}`)
    if (by.length > 0 && (['sent', 'lost', 'crossed'].includes(outcome) || (outcome === 'late' && !late))) say('unanswered', `was executed by ${by[0]} and not answered`)
    if (by.length === 0 && outcome === 'sent') say('lost', 'was neither executed nor answered')
    if (by.length === 0 && outcome === 'late') say('lost', 'was sent before the client had the close frame, and not read')
    if (by.length === 0 && outcome === 'answered') say('ledger', 'was answered, and no server has executed it')
    if (by.length > 0 && outcome === 'rejected') say('rejected', `was executed by ${by[0]}, and the client was told that it was not let in`)
  }

  #count (id: string, what: keyof Counts): void {
    const kind = id.split('.', 2).join('.')
    const counts = this.counts.get(kind) ?? { sent: 0, answered: 0, rejected: 0, refused: 0, aborted: 0, crossed: 0, late: 0, lost: 0 }
    counts[what]++
    this.counts.set(kind, counts)
  }
}

/** Whether each event of each stream was written once, and arrived: the next process goes on behind the last that has arrived. */
export class Events {
  readonly #journal: Journal
  readonly #written = new Map<string, number>()
  readonly #stories = new Map<string, Story[]>()
  readonly #arrived = new Map<string, number>()

  constructor (journal: Journal) {
    this.#journal = journal
  }

  get count (): number {
    return [...this.#arrived.values()].reduce((sum, n) => sum + n, 0)
  }

  watch (id: string, ...stories: Story[]): void {
    this.#stories.set(id, stories)
  }

  writtenBy (pid: number, id: string, n: number): void {
    const last = this.#written.get(id) ?? 0
    if (n <= last) this.#say('event twice', id, `event ${n} was written again by ${pid}, so the client never had it`)
    if (n > last + 1) this.#say('event missing', id, `event ${n} was written by ${pid} behind ${last}`)
    this.#written.set(id, n)
  }

  arrived (id: string, n: number): void {
    const last = this.#arrived.get(id) ?? 0
    if (n !== last + 1) this.#say(n <= last ? 'event twice' : 'event missing', id, `event ${n} has arrived behind ${last}`)
    this.#arrived.set(id, n)
  }

  lastOf (id: string): number {
    return this.#arrived.get(id) ?? 0
  }

  /** When all streams have ended, and all lines have been read. */
  judge (): void {
    for (const [id, n] of this.#written) {
      if (n !== this.lastOf(id)) this.#say('event missing', id, `event ${n} was written, the last that has arrived is ${this.lastOf(id)}`)
    }
  }

  #say (kind: string, id: string, what: string): void {
    this.#journal.violation(kind, `${id}: ${what}`, ...this.#stories.get(id) ?? [])
  }
}
