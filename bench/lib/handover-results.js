import { quantile } from './stats.js'

// What the handover itself may add to a request, and how long the move may take, in ms.
const targets = [
  { upTo: 300, p999: 20, max: 50 },
  { upTo: 2000, max: 60, moved: 2000 }
]

/** All request times of these runs: while connections moved, and beside a process that got none. */
export function pooled (rounds) {
  const restarts = rounds.flatMap(({ restarts }) => restarts)
  const all = what => restarts.flatMap(restart => restart[what].times)
  return { during: all('during'), beside: all('beside'), before: all('before'), lags: restarts.flatMap(({ during }) => during.lags) }
}

/** What the handover adds: the same quantile with it, and in the control, and the difference. */
export function addedBy (rounds) {
  const { during, beside, before, lags } = pooled(rounds)
  const at = q => {
    const [handover, control] = [during, beside].map(times => quantile(times, q))
    return { handover, control, added: handover - control }
  }
  return { requests: during.length, p999: at(0.999), max: at(1), startUp: quantile(before, 1), lag: quantile(lags, 1) }
}

/** Whether these runs meet the targets, in words. Where the control alone is over one of them, the machine is too busy to tell. */
export function verdict (results) {
  const missed = missedBy(results)
  if (missed.length > 0) return `missed: ${missed.join(', ')}`
  const { p999, max } = targetOf(results.connections)
  return results.p999.control > p999 || results.max.control > max ? 'too busy to tell' : 'met'
}

function targetOf (connections) {
  return targets.find(({ upTo }) => connections <= upTo) ?? {}
}

function missedBy ({ connections, p999, max, moved, rounds }) {
  const missed = []
  const target = targetOf(connections)
  for (const what of ['lost', 'refused', 'reconnects']) {
    if (rounds.some(result => result[what] > 0)) missed.push(what)
  }
  if (rounds.some(({ opened }) => opened !== connections)) missed.push('opened')
  if (p999.added > target.p999) missed.push('p99.9')
  if (max.added > target.max) missed.push('maximum')
  if (Math.max(...moved) >= target.moved) missed.push('moved in')
  return missed
}
