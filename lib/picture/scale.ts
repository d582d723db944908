import { html, type Html } from './html.ts'

/** How wide every chart is, in units of its own, and where its left and right edges are. */
export const width = 1000
export const left = 190
export const right = 965

/** A time in ms on the common axis. */
export type X = (at: number) => number

/** Puts the whole drain between the two edges. */
export function scale (duration: number): X {
  const perMs = (right - left) / Math.max(1, duration)
  return at => Math.round((left + Math.max(0, at) * perMs) * 10) / 10
}

/** Times on the axis, at round figures. */
export function ticks (duration: number): number[] {
  const about = Math.max(1, duration) / 8
  const power = 10 ** Math.floor(Math.log10(about))
  const step = Math.max(1, [1, 2, 5, 10].map(factor => factor * power).find(size => size >= about) as number)
  return Array.from({ length: Math.floor(Math.max(1, duration) / step) + 1 }, (_, i) => i * step)
}

/** The axis below a chart of this height, with lines through the chart. */
export function axis (duration: number, height: number): Html {
  const x = scale(duration)
  return html`<g class="axis">${ticks(duration).map(at =>
    html`<path d="M${x(at)} 0V${height}"/><text x="${x(at)}" y="${height + 14}">${inWords(at)}</text>`)}</g>`
}

/** A time for people. */
export function inWords (ms: number): string {
  return Math.abs(ms) < 10_000 ? `${ms} ms` : `${Math.round(ms / 100) / 10} s`
}
