import { median } from './stats.js'

// What is promised at this count: in ms above the bare server, in ms after the end of the spread, in bytes above the bare server, and of a bare loop.
const count = 10_000
const stallAbove = 10
const finsWithin = 1000
const bytesAbove = 300
const loopsAtMost = 1.5
// Of the time per connection between the smallest count and the largest: what a fixed cost saves is more than what a larger heap costs.
const growthAtMost = 1.5

/** Which targets were missed, in words. */
export function misses (results, { plugin, idleGrace }) {
  const missed = []
  const check = (ok, text) => { if (!ok) missed.push(text) }
  const own = results.filter(({ variant }) => variant === plugin)
  const lost = own.reduce((sum, result) => sum + result.lost + result.left, 0)
  check(lost === 0, `${lost} requests were lost, or connections were left open`)

  for (const spread of new Set(own.map(({ spread }) => spread))) {
    const at = own.filter(result => result.spread === spread && result.count === count)
    if (at.length === 0) continue
    const late = median(at.map(({ lastFinMs }) => lastFinMs)) - idleGrace - spread
    check(late <= finsWithin, `the last FIN of ${count} came ${Math.round(late)} ms after the end of idleGrace and closeSpread (${spread} ms): at most ${finsWithin} ms`)
    const bare = results.filter(result => result.variant === 'bare' && result.count === count)
    if (spread > 0 || bare.length === 0) continue
    const above = of => median(at.map(of)) - median(bare.map(of))
    const stall = above(({ stallMs }) => stallMs)
    check(stall <= stallAbove, `the event loop stalled for ${Math.round(stall)} ms longer than that of the bare server: at most ${stallAbove} ms`)
    const bytes = above(({ bytesPerConnection }) => bytesPerConnection)
    check(bytes <= bytesAbove, `an idle connection takes ${Math.round(bytes)} bytes more than in the bare server: at most ${bytesAbove}`)
    const ratio = median(at.map(({ closeMs, bareLoopMs }) => closeMs / bareLoopMs))
    check(ratio <= loopsAtMost, `${count} closes took ${ratio.toFixed(2)} times as long as a bare loop: at most ${loopsAtMost}`)
  }

  const counts = own.filter(({ spread }) => spread === 0).map(({ count }) => count).sort((a, b) => a - b)
  if (counts[0] !== counts.at(-1)) {
    const each = (count, of) => median(own.filter(result => result.count === count && result.spread === 0).map(of)) / count
    for (const [what, of] of [['closing', ({ closeCpuMs }) => closeCpuMs], ['the stall', ({ stallCpuMs }) => stallCpuMs]]) {
      const ratio = each(counts.at(-1), of) / each(counts[0], of)
      check(ratio <= growthAtMost, `${what} costs ${ratio.toFixed(2)} times as much processor time per connection with ${counts.at(-1)} as with ${counts[0]}: at most ${growthAtMost}`)
    }
  }
  return missed
}
