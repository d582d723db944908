import { median } from '../stats.js'

/** `1,234.5`, with at most so many digits behind the point. */
export function text (value, digits = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '-'
  // No "-0".
  const rounded = Number(value.toFixed(digits)) + 0
  return rounded.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** The median and the worst of the rounds; `-` where one of them could not be measured. */
export function medianAndWorst (values, { digits = 0, worst = Math.max } = {}) {
  if (values.length === 0 || values.some(value => value === null || value === undefined)) return '-'
  return `${text(median(values), digits)} / ${text(worst(...values), digits)}`
}

/** Those of the rows that have all these values. */
export function where (rows, values) {
  return rows.filter(row => Object.entries(values).every(([name, value]) => row[name] === value))
}

/** Each value of that name once, in the order of the rows. */
export function distinct (rows, name) {
  return [...new Set(rows.map(row => row[name]))]
}

export function sum (values) {
  return values.reduce((total, value) => total + value, 0)
}

/** The median, the lowest and the highest, for a chart. */
export function range (values) {
  return { value: median(values), low: Math.min(...values), high: Math.max(...values) }
}
