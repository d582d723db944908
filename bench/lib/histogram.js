const widest = 50

/** How many of the times fall into each `width` milliseconds from 0 on, until `end`; what is later counts in the last one. */
export function histogram (times, width, end) {
  const bins = new Array(Math.max(1, Math.ceil(end / width))).fill(0)
  for (const time of times) bins[Math.min(bins.length - 1, Math.max(0, Math.floor(time / width)))]++
  return bins
}

/**
 * How even the bins are: the largest as a multiple of the mean, and Pearson's chi-square over its degrees of freedom, which is
 * 1 for times drawn at random, less for times that keep a distance, and far more for times that come in a crowd.
 */
export function evenness (bins) {
  const mean = bins.reduce((sum, n) => sum + n, 0) / bins.length
  const chiSquare = bins.reduce((sum, n) => sum + (n - mean) ** 2 / mean, 0)
  return { maxToMean: Math.max(...bins) / mean, chiSquare: bins.length > 1 ? chiSquare / (bins.length - 1) : null }
}

/** Two histograms side by side, one line per bin. */
export function bars (width, columns) {
  const bins = Math.max(...columns.map(({ bins }) => bins.length))
  const largest = Math.max(...columns.flatMap(({ bins }) => bins))
  const label = n => `${n}`.padStart(5)
  const bar = n => '#'.repeat(Math.ceil(n * widest / largest)).padEnd(widest)
  const head = `${''.padStart(7)}  ${columns.map(({ title }) => title.padEnd(widest + 7)).join('')}`.trimEnd()
  const lines = Array.from({ length: bins }, (_, i) => {
    const cells = columns.map(({ bins }) => `${label(bins[i] ?? 0)} ${bar(bins[i] ?? 0)} `)
    return `${`${i * width}`.padStart(7)}  ${cells.join('')}`.trimEnd()
  })
  return [head, ...lines].join('\n')
}
