import { colours, lines } from '../lib/page/charts.js'
import { cellOf, nameOf, ours } from '../lib/page/names.js'
import { distinct, medianAndWorst, range, text, where } from '../lib/page/numbers.js'
import { atMost, judge } from '../lib/page/targets.js'
import { median } from '../lib/stats.js'

const judgedAt = 10_000
const limits = { stall: 10, lastFin: 1000, bytes: 300, ratio: 1.5 }
// 1 is linear; the rest is what rounds differ by.
const limitOfGrowth = 1.1
const measured = ['lastFinMs', 'stallMs', 'bytesPerConnection', 'timeWait', 'closeMs', 'bareLoopMs', 'peakNewPerSecond', 'exitMs', 'lost']

export default {
  title: 'Scale',
  minutes: { full: 10, quick: 2 },

  runs: quick => ({ scale: ['scale.js', ...quick ? ['--rounds', '1'] : []] }),

  condense: ({ scale: { results } }) => ({
    rows: results.map(row => Object.fromEntries(['variant', 'count', 'spread', 'round', ...measured].map(name => [name, row[name] ?? null])))
  }),

  section: ({ rows }) => ({
    title: 'Scale',
    shows: `${distinct(rows, 'count').map(count => text(count)).join(', ')} idle keep-alive connections, then SIGTERM. *Last FIN*: from SIGTERM until a client has seen the last FIN. *Stall*: the longest turn of the ` +
      'event loop meanwhile. *Closes*: what closing them all takes, against a bare loop of close() over as many sockets. *Peak*: most new connections in one second at the replacement, ' +
      'where the clients come back at once.',
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
    head: ['server', 'last FIN, ms', 'stall, ms', 'closes, ms', 'bare loop, ms', 'closes / bare loop', 'heap of one, bytes', 'TIME_WAIT', 'peak, new in a second', 'exit, ms', 'lost'],
    rows: eachSeries(rows).map(({ variant, spread, rounds }) => [
      `${cellOf(variant)}${spread > 0 ? `, closeSpread ${text(spread)} ms` : ''}`,
      ...['lastFinMs', 'stallMs', 'closeMs', 'bareLoopMs'].map(name => medianAndWorst(known(rounds, name), { digits: 1 })),
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
    ...over({ file: 'scale-fin.svg', title: 'From SIGTERM to the last FIN', yAxis: 'ms', valuesOf: rounds => known(rounds, 'lastFinMs') }),
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
    judge({ what: `${place}: largest stall beyond Fastify's own`, target: `at most ${limits.stall} ms`, values: beyondBare(at, 'stallMs'), isReached: atMost(limits.stall), by: 'median', digits: 1, unit: ' ms' }),
    judge({ what: `${place}: last FIN beyond closeSpread`, target: `at most ${text(limits.lastFin)} ms`, values: mine.filter(({ lastFinMs }) => lastFinMs !== null).map(({ lastFinMs, spread }) => lastFinMs - spread), isReached: atMost(limits.lastFin), unit: ' ms' }),
    judge({ what: `${place}: heap of one beyond Fastify's own`, target: `at most ${limits.bytes} bytes`, values: beyondBare(at, 'bytesPerConnection'), isReached: atMost(limits.bytes), by: 'median', unit: ' bytes' }),
    judge({ what: `${place}: time of the closes / bare loop of close()`, target: `at most ${limits.ratio}`, values: closes, isReached: atMost(limits.ratio), by: 'median', digits: 2 }),
    judge({ what: 'growth of the closes with the count: the exponent', target: `linear (1) or better, within ${text(limitOfGrowth - 1, 1)}`, values: growth(where(rows, { variant: ours, spread: 0 })), isReached: atMost(limitOfGrowth), digits: 2 })
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
  const points = distinct(rows, 'count').map(count => ({ count, times: known(where(rows, { count }), 'closeMs') })).filter(({ times }) => times.length > 0)
    .map(({ count, times }) => ({ x: Math.log(count), y: Math.log(median(times)) }))
  if (points.length < 3) return []
  const mean = name => points.reduce((sum, point) => sum + point[name], 0) / points.length
  const [x, y] = [mean('x'), mean('y')]
  const above = points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0)
  const below = points.reduce((sum, point) => sum + (point.x - x) ** 2, 0)
  return [above / below]
}
