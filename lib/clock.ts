import { performance } from 'node:perf_hooks'

/** The one seam through which time comes in: tests put their own clock here. */
export interface Clock {
  /** Milliseconds on a monotonic clock. */
  now (): number
  /** Calls `fn` once after `ms` milliseconds; the returned function cancels it. */
  after (ms: number, fn: () => void): () => void
  /** Calls `fn` every `ms` milliseconds; the returned function ends it. */
  every (ms: number, fn: () => void): () => void
  /** Calls `fn` when the event loop has asked the kernel once more for everything that has arrived. */
  turn (fn: () => void): void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after (ms, fn) {
    const timer = setTimeout(fn, ms)
    return () => clearTimeout(timer)
  },
  every (ms, fn) {
    const timer = setInterval(fn, ms)
    return () => clearInterval(timer)
  },
  // Called from an I/O callback the first immediate still runs in the same turn,
  // before the next poll; only the second has a whole poll behind it.
  turn: fn => { setImmediate(() => setImmediate(fn)) }
}
