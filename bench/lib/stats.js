/** The value below which the share `q` (0 to 1) of the values lies, interpolated. */
export function quantile (values, q) {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const low = Math.floor(at)
  const high = Math.ceil(at)
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low)
}

export function median (values) {
  return quantile(values, 0.5)
}

/** The 95 % interval of the median: the medians of many samples drawn, with repetition, from the values. */
export function bootstrapMedian (values, draws = 10_000) {
  const medians = Array.from({ length: draws }, () => {
    return median(values.map(() => values[Math.floor(Math.random() * values.length)]))
  })
  return [quantile(medians, 0.025), quantile(medians, 0.975)]
}
