import { colours, lines } from '../lib/page/charts.js'
import { cellOf, nameOf, ours } from '../lib/page/names.js'
import { distinct, medianAndWorst, range, text, where } from '../lib/page/numbers.js'
import { atMost, isNone, judge } from '../lib/page/targets.js'
import { median } from '../lib/stats.js'

const judgedAt = 10_000
const limits = { stall: 10, lastFin: 1000, bytes: 300, ratio: 1.5 }
// 1 is linear; the rest is what rounds differ by, and what a larger heap costs.
const limitOfGrowth = 1.15
const measured = [
  'lastFinMs', 'lastFinAfterGraceMs', 'stallMs', 'bytesPerConnection', 'timeWait', 'closeMs', 'closeCpuMs', 'bareLoopMs', 'bareBatchesMs', 'peakNewPerSecond', 'peakNewPer100Ms', 'exitMs', 'lost', 'left'
]

export default {
  title: 'Scale',
  minutes: { full: 8, quick: 1 },

  runs: quick => ({ scale: ['scale.js', ...quick ? ['--rounds', '1', '--counts', '500,1000,2000', '--spread', '0,1000'] : []] }),

  condense: ({ scale: { results } }) => ({
    rows: results.map(row => Object.fromEntries(['variant', 'count', 'spread', 'round', ...measured].map(name => [name, row[name] ?? null])))
  }),

  section: ({ rows }) => ({
    title: 'Scale',
    shows: `${distinct(rows, 'count').map(count => text(count)).join(', ')} idle keep-alive connections, then SIGTERM. *Last FIN*: until a client has seen the last one, from the end of idleGrace (1 s, fastify-drain only). ` +
      '*Stall*: the longest turn of the event loop from SIGTERM on. *Closes*: until no connection is left, against servers of plain sockets that call end() on as many in one loop, or on 64 in each turn. ' +
      '*Peak*: most new connections in one second at the replacement, where the clients come back at once; *lost*: their requests that got no answer.',
    tables: distinct(rows, 'count').map(count => ({ caption: `${text(count)} connections, ${distinct(rows, 'round').length} round(s): median / worst`, ...table(where(rows, { count })) })),
    charts: charts(rows),
    targets: targets(rows)
  })
}

function eachSeries (rows) {
  return distinct(rows, 'variant').flatMap(variant => distinct(where(rows, { variant }), 'spread').map(spread => ({ variant, spread, rounds: where(rows, { variant, spread }) })))
}

function seriesName ({ variant, spread }) {
  return `${nameOf(variant)}${spread > 0 ? `, closeSpread ${text(spread)} ms` : ''}`
}

function known (rounds, name) {
  return rounds.map(row => row[name]).filter(value => value !== null)
}

// What is spread over a time takes that time.
function closeRatios (rounds) {
  return rounds.filter(({ spread, closeMs, bareLoopMs }) => spread === 0 && closeMs !== null && bareLoopMs !== null).map(({ closeMs, bareLoopMs }) => closeMs / bareLoopMs)
}

function table (rows) {
  return {
    head: ['server', 'last FIN, ms', 'stall, ms', 'closes, ms', 'bare loop, ms', 'bare, 64 a turn', 'closes / bare loop', 'heap of one, bytes', 'TIME_WAIT', 'peak, new in a second', 'exit, ms', 'lost'],
    rows: eachSeries(rows).map(({ variant, spread, rounds }) => [
      `${cellOf(variant)}${spread > 0 ? `, closeSpread ${text(spread)} ms` : ''}`,
      ...['lastFinAfterGraceMs', 'stallMs', 'closeMs', 'bareLoopMs', 'bareBatchesMs'].map(name => medianAndWorst(known(rounds, name), { digits: 1 })),
      medianAndWorst(closeRatios(rounds), { digits: 2 }),
      ...['bytesPerConnection', 'timeWait', 'peakNewPerSecond', 'exitMs', 'lost'].map(name => medianAndWorst(known(rounds, name)))
    ])
  }
}

function charts (rows) {
  const palette = [colours.neutral, colours.accent, colours.second, colours.dark, colours.pale]
  const all = eachSeries(rows)
  const ordered = [...all.filter(({ variant }) => variant !== ours), ...all.filter(({ variant }) => variant === ours)]
  const shades = Object.fromEntries(ordered.map((series, i) => [seriesName(series), series.variant === ours && series.spread === 0 ? colours.accent : palette[i === 0 ? 0 : (i + 1) % palette.length]]))
  const over = ({ file, title, subtitle = 'median, lowest and highest round', yAxis, valuesOf }) => {
    const points = ordered.flatMap(({ rounds, ...series }) => distinct(rounds, 'count').flatMap(count => {
      const values = valuesOf(where(rounds, { count }))
      return values.length === 0 ? [] : [{ x: count, series: seriesName(series), ...range(values) }]
    }))
    const shown = Object.fromEntries(Object.entries(shades).filter(([name]) => points.some(({ series }) => series === name)))
    return points.length === 0 ? [] : [{ file, alt: title, spec: lines({ title, subtitle, rows: points, xAxis: 'idle connections', yAxis, colours: shown }) }]
  }
  return [
    ...over({ file: 'scale-fin.svg', title: 'Until the last FIN, from the end of idleGrace', yAxis: 'ms', valuesOf: rounds => known(rounds, 'lastFinAfterGraceMs') }),
    ...over({ file: 'scale-stall.svg', title: 'Longest stall of the event loop', yAxis: 'ms', valuesOf: rounds => known(rounds, 'stallMs') }),
    ...over({ file: 'scale-closes.svg', title: 'Time of the closes, as a multiple of a bare loop of close()', yAxis: 'closes / bare loop', valuesOf: closeRatios }),
    ...over({ file: 'scale-peak.svg', title: 'Most new connections in a second at the replacement', yAxis: 'connections in a second', valuesOf: rounds => known(rounds, 'peakNewPerSecond') }),
    ...over({ file: 'scale-memory.svg', title: 'Heap of one idle connection', yAxis: 'bytes', valuesOf: rounds => known(rounds, 'bytesPerConnection') }),
    ...over({ file: 'scale-time-wait.svg', title: 'Sockets left in TIME_WAIT at the server', yAxis: 'sockets', valuesOf: rounds => known(rounds, 'timeWait') })
  ]
}

function targets (rows) {
  const at = where(rows, { count: judgedAt })
  const mine = where(at, { variant: ours })
  const place = `${text(judgedAt)} idle connections`
  const closes = closeRatios(mine)
  return [
    judge({ what: 'requests lost or connections left open at any count', target: '0', values: where(rows, { variant: ours }).map(({ lost, left }) => lost + left), isReached: isNone }),
    judge({ what: `${place}: largest stall beyond Fastify's own`, target: `at most ${limits.stall} ms`, values: beyondBare(at, 'stallMs'), isReached: atMost(limits.stall), by: 'median', digits: 1, unit: ' ms' }),
    judge({ what: `${place}: last FIN beyond idleGrace and closeSpread`, target: `at most ${text(limits.lastFin)} ms`, values: mine.filter(({ lastFinAfterGraceMs }) => lastFinAfterGraceMs !== null).map(({ lastFinAfterGraceMs, spread }) => Math.max(0, lastFinAfterGraceMs - spread)), isReached: atMost(limits.lastFin), unit: ' ms' }),
    judge({ what: `${place}: heap of one beyond Fastify's own`, target: `at most ${limits.bytes} bytes`, values: beyondBare(at, 'bytesPerConnection'), isReached: atMost(limits.bytes), by: 'median', unit: ' bytes' }),
    judge({ what: `${place}: time of the closes / bare loop of close()`, target: `at most ${limits.ratio}`, values: closes, isReached: atMost(limits.ratio), by: 'median', digits: 2 }),
    judge({ what: 'growth of the closes\' CPU time with the count: the exponent', target: `linear (1) or better, within ${text(limitOfGrowth - 1, 2)}`, values: growth(where(rows, { variant: ours, spread: 0 })), isReached: atMost(limitOfGrowth), digits: 2 })
  ]
}

/** Round by round, without closeSpread. */
function beyondBare (rows, name) {
  return where(rows, { variant: ours, spread: 0 }).flatMap(row => {
    const bare = where(rows, { variant: 'bare', round: row.round }).find(other => other[name] !== null)
    return row[name] === null || bare === undefined ? [] : [row[name] - bare[name]]
  })
}

/** The slope of the medians, both logarithmic, by least squares. */
function growth (rows) {
  const points = distinct(rows, 'count').map(count => ({ count, times: known(where(rows, { count }), 'closeCpuMs') })).filter(({ times }) => times.length > 0)
    .map(({ count, times }) => ({ x: Math.log(count), y: Math.log(median(times)) }))
  if (points.length < 3) return []
  const mean = name => points.reduce((sum, point) => sum + point[name], 0) / points.length
  const [x, y] = [mean('x'), mean('y')]
  const above = points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0)
  const below = points.reduce((sum, point) => sum + (point.x - x) ** 2, 0)
  return [above / below]
}
