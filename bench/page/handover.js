import { bars, colours, columns } from '../lib/page/charts.js'
import { distinct, medianAndWorst, range, text, where } from '../lib/page/numbers.js'
import { isNone, judge } from '../lib/page/targets.js'
import { addedBy, pooled, verdict } from '../lib/handover-results.js'
import { ways } from '../lib/handover-restart.js'
import { median, quantile } from '../lib/stats.js'

const percentiles = { p50: 0.5, p90: 0.9, p99: 0.99, 'p99.9': 0.999, max: 1 }
// As many as the handover has under way at a time.
const windowOfHandover = 16

export default {
  title: 'Handover',
  minutes: { full: 5, quick: 2 },

  runs: (quick, line) => ({
    handover: ['handover.js', '--node', line, ...quick ? ['--rounds', '1', '--restarts', '1', '--connections', '300'] : ['--rounds', '2']],
    descriptors: ['descriptors.js', ...quick ? ['--rounds', '2', '--connections', '300'] : ['--rounds', '5']]
  }),

  condense: ({ handover: { flags, results }, descriptors }) => {
    const whole = results.filter(({ error }) => error === undefined)
    return {
      work: flags.work,
      restarts: flags.restarts,
      rows: whole.map(({ restarts, ...row }) => ({
        ...pick(row, ['round', 'line', 'way', 'connections', 'think', 'requests', 'lost', 'refused', 'answered503', 'reconnects', 'opened', 'pids', 'timeWait', 'load']),
        longestWait: Math.round(row.longestWait),
        restarts: restarts.map(({ moved, total }) => ({ moved: moved === undefined ? null : round(moved), total: Math.round(total) }))
      })),
      errors: results.flatMap(({ error, way, connections }) => error === undefined ? [] : [`${ways[way].title}, ${connections} connections: ${error.split('\n')[0]}`]),
      latency: latencies(whole),
      passed: descriptors.results.map(({ round, connections, window, perSecond }) => ({ round, connections, window, perSecond: Math.round(perSecond) }))
    }
  },

  section: ({ work, restarts, rows, errors, latency, passed }) => ({
    title: 'Handover',
    shows: `${restarts} restart(s) of a service in each round, under keep-alive clients that send GET and POST; a request takes ${work} ms. *Handover* passes the live connections to a successor; ` +
      '*handover of workers* does so for each of two workers of node:cluster. *Stop, then start* is Fastify alone, *SO_REUSEPORT* the plugin with a shared port. What a handover adds to a request is ' +
      'measured against a control in the same run: an identical process that is started and gets nothing. The limit for the connections that are moved in a second is what Node itself passes ' +
      'between two processes that do nothing else.',
    tables: [
      ...distinct(rows, 'connections').map(connections => ({ caption: restartCaption(where(rows, { connections })), ...restartTable(where(rows, { connections })) })),
      { caption: 'Requests that were open while connections moved, and beside them in the control, all rounds together, in ms', ...latencyTable(latency) },
      { caption: `Idle connections moved in a second: median / worst; and as a share of what Node passes, ${windowOfHandover} at a time`, ...movedTable(rows, passed) },
      { caption: 'Bare descriptor passing, connections in a second: median / worst', ...passedTable(passed) }
    ],
    charts: [
      { file: 'handover-latency.svg', alt: 'Request time while connections move, and in the control', spec: latencyChart(latency) },
      { file: 'handover-rate.svg', alt: 'Connections moved in a second, and bare descriptor passing', spec: rateChart(rows, passed) }
    ],
    failures: errors.map(error => `a run did not come to its end: ${error}`),
    targets: targets(rows, latency)
  })
}

function latencies (results) {
  return distinct(results, 'connections').flatMap(connections => distinct(results, 'way').filter(way => ways[way].keepsConnections).flatMap(way => {
    const rounds = where(results, { way, connections })
    if (rounds.length === 0) return []
    const { during, beside } = pooled(rounds)
    const added = addedBy(rounds)
    const moved = rounds.flatMap(({ restarts }) => restarts.map(({ moved }) => moved))
    return [{
      way,
      connections,
      requests: during.length,
      during: quantiles(during),
      control: quantiles(beside),
      startUp: round(added.startUp),
      lag: round(added.lag),
      verdict: verdict({ connections, ...added, moved, rounds })
    }]
  }))
}

function quantiles (times) {
  return Object.fromEntries(Object.entries(percentiles).map(([name, q]) => [name, times.length === 0 ? null : round(quantile(times, q))]))
}

function round (ms) {
  return Math.round(ms * 10) / 10
}

function pick (row, names) {
  return Object.fromEntries(names.map(name => [name, row[name]]))
}

function titleOf (way) {
  return ways[way].keepsConnections ? `**${ways[way].title}**` : ways[way].title
}

function restartCaption (rows) {
  const [{ line, connections, think }] = rows
  return `Node ${line}, ${connections} connections, pause of ${think} ms, ${distinct(rows, 'round').length} round(s): median / worst`
}

function restartTable (rows) {
  return {
    head: ['restart', 'requests', 'lost', 'refused', '503', 'reconnects', 'TIME_WAIT', 'longest wait, ms', 'restart, ms'],
    rows: distinct(rows, 'way').map(way => {
      const rounds = where(rows, { way })
      const all = name => rounds.map(row => row[name])
      return [
        titleOf(way),
        text(median(all('requests'))),
        ...['lost', 'refused', 'answered503', 'reconnects', 'timeWait', 'longestWait'].map(name => medianAndWorst(all(name))),
        medianAndWorst(rounds.flatMap(({ restarts }) => restarts.map(({ total }) => total)))
      ]
    })
  }
}

function latencyTable (latency) {
  return {
    head: ['restart', 'connections', 'requests', ...['p50', 'p99', 'p99.9', 'max'].flatMap(name => [name, 'control']), 'clients late by', 'verdict'],
    rows: latency.map(({ way, connections, requests, during, control, lag, verdict }) => [
      ways[way].title, text(connections), text(requests), ...['p50', 'p99', 'p99.9', 'max'].flatMap(name => [text(during[name], 1), text(control[name], 1)]), text(lag, 1), verdict
    ])
  }
}

function latencyChart (latency) {
  return columns({
    title: 'Request time while connections move, and in the control',
    subtitle: 'all rounds together; the control is the same load beside an identical process that gets nothing',
    xAxis: 'share of the requests that were faster',
    axis: 'ms',
    colours: { control: colours.neutral, 'while connections move': colours.accent },
    rows: latency.flatMap(({ way, connections, during, control }) => Object.keys(percentiles).flatMap(at => [
      { facet: `${ways[way].title}, ${text(connections)} connections`, at, series: 'control', value: control[at] },
      { facet: `${ways[way].title}, ${text(connections)} connections`, at, series: 'while connections move', value: during[at] }
    ]))
  })
}

function movedRates (rows, way, connections) {
  return where(rows, { way, connections }).flatMap(({ restarts }) => restarts.map(({ moved }) => connections / moved * 1000))
}

function passedRates (passed, connections, window) {
  return where(passed, { connections, window }).map(({ perSecond }) => perSecond)
}

function movedTable (rows, passed) {
  const sizes = distinct(rows, 'connections').filter(connections => movedRates(rows, 'handover', connections).length > 0)
  return {
    head: ['connections', 'handover, under load', 'Node alone', 'share'],
    rows: sizes.map(connections => {
      const rates = movedRates(rows, 'handover', connections)
      const limit = passedRates(passed, connections, windowOfHandover)
      return [text(connections), medianAndWorst(rates, { worst: Math.min }), medianAndWorst(limit, { worst: Math.min }), limit.length === 0 ? '-' : `${text(median(rates) / median(limit) * 100)} %`]
    })
  }
}

function windowName (window) {
  return window === 0 ? 'all at once' : `${window} at a time`
}

function passedTable (passed) {
  const windows = [...distinct(passed, 'window')].sort((a, b) => (a || Infinity) - (b || Infinity))
  return {
    head: ['connections', ...windows.map(windowName)],
    rows: distinct(passed, 'connections').map(connections => [text(connections), ...windows.map(window => medianAndWorst(passedRates(passed, connections, window), { worst: Math.min }))])
  }
}

function rateChart (rows, passed) {
  return bars({
    title: 'Connections moved in a second, and bare descriptor passing',
    subtitle: 'median, worst and best; fastify-drain is the handover under load',
    axis: 'connections in a second',
    rows: distinct(rows, 'connections').flatMap(connections => [
      ...[4, windowOfHandover, 0].map(window => ({ server: `Node alone, ${windowName(window)}`, rates: passedRates(passed, connections, window) })),
      { server: 'fastify-drain', rates: movedRates(rows, 'handover', connections) }
    ].filter(({ rates }) => rates.length > 0).map(({ server, rates }) => ({ server, facet: `${text(connections)} connections`, ...range(rates) })))
  })
}

function targets (rows, latency) {
  const handovers = rows.filter(({ way }) => ways[way].keepsConnections)
  const missed = latency.filter(({ verdict }) => verdict.startsWith('missed'))
  // Where the control alone is over its limit the machine was too busy to tell.
  const isKnown = missed.length > 0 || latency.every(({ verdict }) => verdict === 'met')
  return [
    judge({ what: 'lost, refused or reconnected in a handover, each round', target: '0', values: handovers.map(({ lost, refused, reconnects }) => lost + refused + reconnects), isReached: isNone }),
    judge({
      what: 'series of handovers that add more to a request than they may (300 connections: 20 ms at p99.9, 50 ms at most; 2,000: 60 ms at p99.9)',
      target: '0',
      values: isKnown && latency.length > 0 ? [missed.length] : [],
      isReached: isNone,
      note: missed.map(({ way, connections, verdict }) => `${ways[way].title}, ${connections}: ${verdict}`).join('; ')
    })
  ]
}
