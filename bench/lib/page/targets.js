import { median } from '../stats.js'
import { text } from './numbers.js'

/**
 * What has to be reached, and whether it was. Promises are judged by the worst round, comparisons with another server by the median:
 * a single round of those says as much about the machine as about the server.
 *
 * @param {object} options
 * @param {string} options.what
 * @param {string} options.target in words
 * @param {number[]} options.values one for each round; none: not measured
 * @param {(value: number) => boolean} options.isReached
 * @param {'worst' | 'median'} [options.by='worst']
 * @param {(...values: number[]) => number} [options.worst=Math.max]
 * @param {string} [options.unit]
 * @param {number} [options.digits=0]
 * @param {string} [options.note] behind what was measured
 * @returns {{ what: string, target: string, measured: string, by: string, reached: boolean | null }} `null`: not measured
 */
export function judge ({ what, target, values, isReached, by = 'worst', worst = Math.max, unit = '', digits = 0, note = '' }) {
  const known = values.filter(value => value !== null && value !== undefined)
  if (known.length === 0 || known.length < values.length) return { what, target, measured: 'not measured', by, reached: null }
  const measured = { median: median(known), worst: worst(...known) }
  return {
    what,
    target,
    measured: `${text(measured.median, digits)} / ${text(measured.worst, digits)}${unit}${note && ` (${note})`}`,
    by,
    reached: isReached(measured[by])
  }
}

export const isNone = value => value === 0
export const atMost = limit => value => value <= limit
export const atLeast = limit => value => value >= limit
