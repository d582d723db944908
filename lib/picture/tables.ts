import type { DrainReportFile, RecordedConnection } from '../timeline.ts'
import type { Straggler } from '../report.ts'
import { inWordsOf, shorten } from './bars.ts'
import { html, type Html } from './html.ts'
import { inWords } from './scale.ts'
import { outcomes } from './states.ts'

const mostStragglers = 500

/** The figures of the whole drain. */
export function drawSummary ({ reason, startedAt, duration, connections, requests, stragglers }: DrainReportFile): Html {
  const figures: Array<[string, string | number]> = [
    ['reason', reason],
    ['began', startedAt],
    ['took', inWords(duration)],
    ['connections', connections.total],
    ['requests served meanwhile', requests.served],
    ['stragglers', stragglers.length]
  ]
  return html`<dl class="figures">${figures.map(([name, figure]) => html`<div><dt>${name}</dt><dd>${shorten(String(figure))}</dd></div>`)}</dl>`
}

/** Counts by outcome; to choose one leaves only its connections. Works without scripts: see style.ts. */
export function drawOutcomes ({ connections }: DrainReportFile): Html {
  const choices = outcomes.filter(outcome => connections[outcome] > 0)
  return html`<fieldset class="outcomes"><legend>Outcomes</legend>
<label><input type="radio" name="outcome" value="all" checked> all <b>${connections.total}</b></label>
${choices.map(outcome => html`<label class="${outcome}"><input type="radio" name="outcome" value="${outcome}"> ${outcome} <b>${connections[outcome]}</b></label>`)}</fieldset>`
}

/** Every connection that did not end in the polite way. */
export function drawStragglers (stragglers: readonly Straggler[], file: string): Html | null {
  if (stragglers.length === 0) return null
  const more = stragglers.length - mostStragglers
  return html`<h2 id="stragglers">Stragglers</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="stragglers"><table><thead><tr>${
  ['peer', 'request', 'state', 'outcome', 'error', 'age', 'streams', 'bytes not acknowledged'].map(title => html`<th scope="col">${title}</th>`)}</tr></thead><tbody>
${stragglers.slice(0, mostStragglers).map(row)}</tbody></table></div>${
  more > 0 ? html`<p>${more} more are in ${file}.</p>` : null}`
}

function row ({ remoteAddress, remotePort, method, route, state, outcome, error, age, streams, unacknowledgedBytes }: Straggler): Html {
  const peer = remoteAddress === null ? 'local socket' : `${remoteAddress} ${remotePort}`
  return html`<tr data-outcome="${outcome}"><th scope="row">${peer}</th><td>${shorten(method === null ? '–' : `${method} ${route}`)}</td><td>${state}</td><td>${outcome}</td><td>${error ?? '–'}</td><td>${inWords(age)}</td><td>${streams}</td><td>${unacknowledgedBytes ?? 'unknown'}</td></tr>\n`
}

/** What the bars say, for those who do not see them. */
export function drawList (connections: readonly RecordedConnection[], duration: number): Html {
  return html`<details><summary>The same as a list</summary><ol>${connections.map(connection =>
    html`<li data-outcome="${connection.outcome}">${inWordsOf(connection, duration)}</li>\n`)}</ol></details>`
}
