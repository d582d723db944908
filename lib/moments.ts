import { setMaxListeners } from 'node:events'
import { errors } from './errors.ts'

/** What long answers wait for: the beginning of the drain, the end of the lame duck, the deadline. */
export type Moment = 'begin' | 'draining' | 'deadline'

/** A signal for each; one that has not come by the deadline comes then. */
export class Moments {
  readonly #controllers: Record<Moment, AbortController> = {
    begin: new AbortController(), draining: new AbortController(), deadline: new AbortController()
  }

  constructor () {
    // Every long answer listens to one; their number is no leak.
    for (const { signal } of Object.values(this.#controllers)) setMaxListeners(0, signal)
  }

  signalAt (moment: Moment): AbortSignal {
    return this.#controllers[moment].signal
  }

  reached (moment: Moment, reason: string): void {
    this.#controllers[moment].abort(new errors.Draining(reason))
    if (moment === 'deadline') this.reached('draining', reason)
  }
}
