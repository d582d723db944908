import type { RecordedConnection } from '../timeline.ts'
import { html, type Html } from './html.ts'
import { axis, inWords, left, scale, type X } from './scale.ts'
import { isStraggler, spansOf, states } from './states.ts'

const labelled = 16
const longestText = 120

/** One bar for each of these connections, coloured by its states, in this order. */
export function drawBars (title: string, connections: readonly RecordedConnection[], duration: number): Html {
  const plain = connections.length > 100 ? 5 : connections.length > 40 ? 9 : labelled
  const x = scale(duration)
  let y = 0
  const bars = connections.map(connection => {
    const height = isStraggler(connection) ? labelled : plain
    y += height
    return bar(connection, duration, x, y - height, height)
  })
  return html`<svg class="items" viewBox="0 0 1000 ${y + 20}" role="img" aria-label="${title}">${axis(duration, y)}${bars}</svg>`
}

function bar (connection: RecordedConnection, duration: number, x: X, top: number, height: number): Html {
  const { endedAt, outcome } = connection
  const spans = spansOf(connection, duration)
  const middle = top + height / 2
  // One path for each state: a session of HTTP/2 can have many spans.
  const paths = states.map(state => [state, spans.filter(span => span.state === state).map(({ from, to }) =>
    `M${x(from)} ${middle}h${Math.max(1, Math.round((x(to) - x(from)) * 10) / 10)}`).join('')] as const)
  const end = x(endedAt ?? duration)
  return html`<g class="item ${outcome}" data-outcome="${outcome}"><title>${inWordsOf(connection, duration)}</title><rect class="hit" x="0" y="${top}" width="1000" height="${height}"/>${
    height === labelled ? html`<text class="label" x="${left - 8}" y="${top + 12}">${nameOf(connection, 30)}</text>` : null}${
    paths.map(([state, path]) => path === '' ? null : html`<path class="${state}" stroke-width="${Math.round(height * 0.72)}" d="${path}"/>`).filter(drawn => drawn !== null)}${
    isStraggler(connection) ? html`<path class="mark" d="M${end - 4} ${top + 4}l8 8m0-8l-8 8"/>` : null}</g>`
}

/** Who it is, and what it was asked for. */
export function nameOf ({ remoteAddress, remotePort, method, route }: RecordedConnection, longest = longestText): string {
  const who = remoteAddress === null ? 'local socket' : `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`
  return shorten(method === null ? who : `${who} ${method} ${route}`, longest)
}

export function shorten (text: string, longest = longestText): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`
}

/** All that is known of a connection. */
export function inWordsOf (connection: RecordedConnection, duration: number): string {
  const { acceptedAt, endedAt, outcome, omittedChanges } = connection
  const spans = spansOf(connection, duration)
  const last = spans.slice(0, 8).map(({ state, from, to }) => `${state} ${inWords(from)} to ${inWords(to)}`)
  const more = spans.length - last.length + omittedChanges
  return [
    nameOf(connection),
    acceptedAt < 0 ? `accepted ${inWords(-acceptedAt)} before the drain` : `accepted at ${inWords(acceptedAt)}`,
    last.join(', ') + (more > 0 ? ` and ${more} more changes` : ''),
    endedAt === null ? 'open when the process ended' : `${outcome} at ${inWords(endedAt)}`
  ].join('; ')
}
