import { createHash } from 'node:crypto'
import type { DrainReportFile, RecordedConnection } from '../timeline.ts'
import { drawBars } from './bars.ts'
import { drawCloses } from './closes.ts'
import { drawCrowd } from './crowd.ts'
import { html, Html } from './html.ts'
import { drawPhases } from './phases.ts'
import { inWords } from './scale.ts'
import { script } from './script.ts'
import { isStraggler, states } from './states.ts'
import { style } from './style.ts'
import { drawList, drawOutcomes, drawStragglers, drawSummary } from './tables.ts'

// More bars than these nobody can read.
const mostBars = 500
const mostNamedBars = 200

/** The report as a page that needs nothing else, and asks nobody for anything. `file`: the name of the JSON beside it. */
export function drawPage (report: DrainReportFile, file: string): string {
  const { duration, connections: { total } } = report
  const connections = inOrder(report.timeline.connections)
  const title = `Drain of ${total} connections, ${inWords(duration)}`
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${hashOf(style)}; script-src ${hashOf(script)}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${new Html(style)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${drawSummary(report)}
${drawOutcomes(report)}
<h2 id="phases">Phases</h2>
${drawPhases(report)}
${drawConnections(connections, duration)}
<div id="details" role="status" aria-label="Details"></div>
${drawCloses(connections, duration)}
${drawStragglers(report.stragglers, file)}
<p>Times count from the moment at which the drain began. Everything that was recorded is in <a href="${encodeURIComponent(file)}">${file}</a>, next to this page.</p>
</main>
<script>${new Html(script)}</script>
</body>
</html>
`.text
}

function drawConnections (connections: readonly RecordedConnection[], duration: number): Html {
  if (connections.length === 0) return html`<h2>Connections</h2>\n<p>There was none.</p>`
  if (connections.length <= mostBars) {
    return html`<h2>Connections</h2>
${legend}
${drawBars(`${connections.length} connections, stragglers first, then by the time at which they ended`, connections, duration)}
${drawList(connections, duration)}`
  }
  const stragglers = connections.filter(isStraggler)
  const named = stragglers.slice(0, mostNamedBars)
  return html`<h2>Connections</h2>
${legend}
${named.length === 0 ? null : drawBars(`${named.length} of ${stragglers.length} stragglers`, named, duration)}
${drawCrowd(connections, duration)}`
}

const legend = html`<ul class="legend">${states.map(state =>
  html`<li><svg class="${state}" viewBox="0 0 14 12" aria-hidden="true"><rect width="14" height="12"/></svg>${state}</li>`)}<li><svg viewBox="0 0 14 12" aria-hidden="true"><path class="mark" d="M3 2l8 8m0-8l-8 8"/></svg>straggler</li></ul>`

// Stragglers first, then whoever stayed longest.
function inOrder (connections: readonly RecordedConnection[]): RecordedConnection[] {
  const end = ({ endedAt }: RecordedConnection): number => endedAt ?? Infinity
  return [...connections].sort((a, b) => Number(isStraggler(b)) - Number(isStraggler(a)) || (end(b) === end(a) ? 0 : end(b) - end(a)))
}

// Nothing else of style or script is let in: neither an attribute nor what somebody may smuggle into a text.
function hashOf (text: string): Html {
  return new Html(`'sha256-${createHash('sha256').update(text).digest('base64')}'`)
}
