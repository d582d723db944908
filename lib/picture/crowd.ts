import type { RecordedConnection } from '../timeline.ts'
import { html, type Html } from './html.ts'
import { axis, inWords, left, right, ticks } from './scale.ts'
import { census, states } from './states.ts'

const bins = 100
const height = 260

/** How many connections were in each state, one state stacked on the other. */
export function drawCrowd (connections: readonly RecordedConnection[], duration: number): Html {
  const counts = census(connections, duration, bins)
  const moments = Array.from({ length: bins + 1 }, (_, i) => ({ at: Math.round(i * duration / bins), i }))
  const most = Math.max(1, ...moments.map(({ i }) => sum(i)))
  const x = (i: number): number => Math.round((left + (right - left) * i / bins) * 10) / 10
  const y = (count: number): number => Math.round((height - height * count / most) * 10) / 10

  const below = new Array<number>(bins + 1).fill(0)
  const areas = states.map(state => {
    const bottom = moments.map(({ i }) => `${x(i)} ${y(below[i]!)}`).reverse()
    const top = moments.map(({ i }) => `${x(i)} ${y(below[i]! += counts[state][i]!)}`)
    return html`<path class="area ${state}" d="M${top.join('L')}L${bottom.join('L')}Z"/>`
  })
  const items = moments.map(({ at, i }) => html`<g class="item"><title>${`at ${inWords(at)}: ${describe(i)}`}</title><rect class="hit" x="${x(i) - 4}" y="0" width="8" height="${height}"/></g>`)
  const rows = ticks(duration).map(at => Math.min(bins, Math.round(at / Math.max(1, duration) * bins))).map(i =>
    html`<tr><th scope="row">${inWords(moments[i]!.at)}</th>${states.map(state => html`<td>${counts[state][i]!}</td>`)}</tr>`)

  return html`<svg class="items" viewBox="0 0 1000 ${height + 20}" role="img" aria-label="Connections by state over time, at most ${most} at once">
<text class="label" x="${left - 8}" y="12">${most} open</text><text class="label" x="${left - 8}" y="${height}">0</text>${areas}${axis(duration, height)}${items}</svg>
<details><summary>The same as a table</summary><table><thead><tr><th scope="col">at</th>${states.map(state => html`<th scope="col">${state}</th>`)}</tr></thead><tbody>${rows}</tbody></table></details>`

  function sum (i: number): number {
    return states.reduce((sum, state) => sum + counts[state][i]!, 0)
  }

  function describe (i: number): string {
    const open = states.filter(state => counts[state][i]! > 0)
    return open.length === 0 ? 'no connection' : open.map(state => `${counts[state][i]} ${state}`).join(', ')
  }
}
