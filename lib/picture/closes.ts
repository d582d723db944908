import type { ConnectionOutcome } from '../connection.ts'
import type { RecordedConnection } from '../timeline.ts'
import { html, type Html } from './html.ts'
import { axis, inWords, left, scale } from './scale.ts'
import { outcomes } from './states.ts'

const height = 90
const bin = 100
const mostBars = 400

/** How many connections have ended in each 100 ms, or more where the drain was too long to show that. */
export function drawCloses (connections: readonly RecordedConnection[], duration: number): Html {
  const size = bin * Math.max(1, Math.ceil(duration / bin / mostBars))
  const counts = closesPer(size, connections, duration)
  const totals = counts.map(ends => ends.reduce((sum, [, count]) => sum + count, 0))
  const most = Math.max(1, ...totals)
  const x = scale(duration)
  const bars = counts.map((ends, i) => {
    const from = i * size
    let y = height
    return ends.map(([outcome, count]) => {
      const tall = height * count / most
      y -= tall
      return html`<rect class="close ${outcome}" data-outcome="${outcome}" x="${x(from)}" y="${round(y)}" width="${round(Math.max(1, x(Math.min(duration, from + size)) - x(from) - 1))}" height="${round(tall)}"><title>${
        `${inWords(from)} to ${inWords(from + size)}: ${count} ${outcome}`}</title></rect>`
    })
  })
  const busiest = totals.indexOf(Math.max(...totals))
  const words = connections.length === 0 ? 'none' : `at most ${most}, at ${inWords(busiest * size)}`
  return html`<h2 id="closes">Closes per ${size} ms</h2>
<svg viewBox="0 0 1000 ${height + 20}" role="img" aria-label="Connections closed per ${size} ms: ${words}"><text class="label" x="${left - 8}" y="12">${most} per ${size} ms</text><text class="label" x="${left - 8}" y="${height}">0</text>${axis(duration, height)}${bars.flat()}</svg>`
}

/** For each span of `size` ms how many connections have ended in which way. */
export function closesPer (size: number, connections: readonly RecordedConnection[], duration: number): Array<Array<[ConnectionOutcome, number]>> {
  const bins = Array.from({ length: Math.floor(duration / size) + 1 }, () => new Map<ConnectionOutcome, number>())
  for (const { endedAt, outcome } of connections) {
    if (endedAt === null || outcome === null) continue
    const bin = bins[Math.floor(endedAt / size)]!
    bin.set(outcome, (bin.get(outcome) ?? 0) + 1)
  }
  return bins.map(bin => outcomes.filter(outcome => bin.has(outcome)).map(outcome => [outcome, bin.get(outcome)!]))
}

function round (value: number): number {
  return Math.round(value * 10) / 10
}
