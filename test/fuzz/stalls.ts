const interval = 20

/** Sums up by how much timers come too late, in ms: on a busy machine a drain takes longer, through no fault of its own. */
export function watchStalls (t: { teardown (fn: () => unknown): void }): () => number {
  let sum = 0
  let last = performance.now()
  const look = (): void => {
    const now = performance.now()
    sum += Math.max(0, now - last - interval)
    last = now
  }
  const timer = setInterval(look, interval)
  t.teardown(() => clearInterval(timer))
  return () => {
    look()
    return sum
  }
}
