// The last ones are remembered.
const remembered = 1 << 19

/** Spans of time, without an allocation for each: what a process of clients collects as garbage is a pause of the load. */
export function createRing () {
  const starts = new Float64Array(remembered)
  const lengths = new Float64Array(remembered)
  let n = 0

  return {
    add (start, length) {
      starts[n % remembered] = start
      lengths[n % remembered] = length
      n++
    },

    /** How long each took that was open at any moment of that time. */
    during ({ from, to }) {
      const found = []
      for (let i = 0; i < Math.min(n, remembered); i++) {
        if (starts[i] <= to && starts[i] + lengths[i] >= from) found.push(lengths[i])
      }
      return found
    }
  }
}
