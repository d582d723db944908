import type { Clock } from './clock.ts'
import { LongAnswer, type LongAnswerEnv } from './long-answer.ts'
import type { Moment } from './moments.ts'
import { Paced } from './paced.ts'
import type { Answer } from './protocols/head.ts'
import type { RouteSettings } from './route-options.ts'

export interface StreamsEnv {
  clock: Clock
  /** Window over which the ends of the streams are spread, in ms. */
  closeSpread: number
  signalAt (moment: Moment): AbortSignal
  /** As Math.random(). */
  random (): number
}

// At the deadline everything is cut; nobody has to be told.
const polite = ['begin', 'draining'] as const

/** The long answers of the routes whose streams a drain ends. */
export class Streams {
  readonly #env: StreamsEnv
  readonly #signals = new WeakMap<object, AbortSignal>()
  readonly #open = { begin: new Set<LongAnswer>(), draining: new Set<LongAnswer>() }
  // A turn later: who listens to the signal has the first word.
  readonly #due: Paced<LongAnswer>

  constructor (env: StreamsEnv) {
    this.#env = env
    this.#due = new Paced(env.clock, answers => { for (const answer of answers) answer.end() })
    for (const moment of polite) {
      env.signalAt(moment).addEventListener('abort', () => this.#endAll(moment), { once: true })
    }
  }

  /** What the handler of this request listens to. */
  signalOf (request: object): AbortSignal {
    return this.#signals.get(request) ?? this.#env.signalAt('begin')
  }

  /** For the requests of one route, each as soon as it comes. */
  watcher ({ endStreams, contentTypes, retry }: RouteSettings): (request: object, answer: Answer) => void {
    const { clock, random, signalAt } = this.#env
    const env: LongAnswerEnv = {
      clock,
      contentTypes,
      lastLine: () => retry === undefined ? '' : `retry: ${between(retry, random())}\n`,
      reason: () => signalAt('begin').reason
    }
    return (request, answer) => this.#watch(request, answer, endStreams, env)
  }

  // One that comes too late for its moment, such as that of a client which connects again in the lame duck, has the next.
  #watch (request: object, answer: Answer, endStreams: Moment, env: LongAnswerEnv): void {
    const { clock, signalAt } = this.#env
    const moment = endStreams === 'begin' && signalAt('begin').aborted ? 'draining' : endStreams
    const signal = signalAt(moment)
    this.#signals.set(request, signal)
    if (moment === 'deadline') return
    const open = this.#open[moment]
    const long = new LongAnswer(answer, env, {
      onHead: () => { if (signal.aborted) this.#due.add(long, clock.now()) },
      onClose: () => { open.delete(long) }
    })
    open.add(long)
  }

  #endAll (moment: typeof polite[number]): void {
    const { clock, closeSpread } = this.#env
    const open = this.#open[moment]
    const now = clock.now()
    let count = 0
    for (const answer of open) this.#due.add(answer, now + count++ * closeSpread / open.size)
  }

  /** No connection is left: what is still waiting was injected. */
  close (): void {
    this.#due.stop()
    for (const moment of polite) for (const answer of this.#open[moment]) answer.end()
  }
}

function between (range: number | readonly [number, number], random: number): number {
  const [from, to] = typeof range === 'number' ? [range, range] : range
  return Math.round(from + random * (to - from))
}
