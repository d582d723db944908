import type { DrainReport } from '../report.ts'
import { html, type Html } from './html.ts'
import { axis, inWords, scale } from './scale.ts'

const height = 28

/** The phases of the drain, one behind the other. */
export function drawPhases ({ phases, duration }: DrainReport): Html {
  const x = scale(duration)
  const long = phases.filter(phase => phase.duration > 0)
  const words = phases.map(({ phase, at, duration }) => `${phase} at ${inWords(at)} for ${inWords(duration)}`).join(', ')
  return html`<svg viewBox="0 0 1000 48" role="img" aria-label="Phases: ${words}">
<text class="label" x="180" y="18">phase</text>${axis(duration, height)}
${long.map(({ phase, at, duration }) => {
    const wide = x(at + duration) - x(at)
    return html`<g class="phase ${phase}"><title>${phase}: ${inWords(at)} to ${inWords(at + duration)}</title><rect x="${x(at)}" y="2" width="${wide}" height="${height - 4}"/>${
      wide > 70 ? html`<text x="${x(at) + wide / 2}" y="18">${phase}</text>` : null}</g>`
  })}</svg>
<p>${words}</p>`
}
