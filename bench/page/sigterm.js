import { bars, colours, stackedBars } from '../lib/page/charts.js'
import { cellOf, nameOf, ours } from '../lib/page/names.js'
import { distinct, medianAndWorst, range, sum, text, where } from '../lib/page/numbers.js'
import { atLeast, isNone, judge } from '../lib/page/targets.js'
import { median } from '../lib/stats.js'

// What every other server loses at least, in all of the run.
const fewest = 26

export default {
  title: 'SIGTERM under keep-alive load',
  minutes: { full: 5, quick: 1 },

  runs: quick => ({ sigterm: ['sigterm.js', '--rounds', quick ? '1' : '4'] }),

  condense: ({ sigterm: { flags, results } }) => ({
    clients: flags.clients,
    work: flags.work,
    rows: results.map(({ round, variant, think: [think], requests, lost, reset, answered503, timeWait, exits }) => ({
      round, variant, think, requests, lost, reset, answered503, timeWait, exitMs: Math.max(...exits.map(({ ms }) => ms)), killed: exits.some(({ killed }) => killed)
    }))
  }),

  section: ({ clients, work, rows }) => ({
    title: 'SIGTERM under keep-alive load',
    shows: `${clients} keep-alive clients send GET and POST in turn, with a pause of ${distinct(rows, 'think').join(' or ')} ms; a request takes ${work} ms. The successor ` +
      'listens on the same socket, then the old process gets SIGTERM. *Lost* is a request without an answer or with a wrong one; nothing is sent twice. ' +
      'Every server is wired up as its own README says.',
    tables: distinct(rows, 'think').map(think => ({ caption: `Pause of ${think} ms, ${distinct(rows, 'round').length} round(s): median / worst`, ...table(where(rows, { think })) })),
    charts: [
      stackedBars({ title: 'Requests that a restart loses', subtitle: 'median of the rounds; the line reaches from the best round to the worst', axis: 'requests', rows: lossRows(rows), kinds }),
      bars({ title: 'Sockets that a restart leaves in TIME_WAIT at the server', subtitle: `of ${clients} connections; median, best and worst round`, axis: 'sockets', rows: chartRows(rows, 'timeWait') }),
      bars({ title: 'From SIGTERM to the exit', subtitle: 'median, best and worst round', axis: 'ms', rows: chartRows(rows, 'exitMs') })
    ].map((spec, i) => ({ file: ['sigterm-loss.svg', 'sigterm-time-wait.svg', 'sigterm-exit.svg'][i], alt: spec.title, spec })),
    targets: targets(rows)
  })
}

const kinds = { lost: { title: 'lost', colour: colours.dark }, answered503: { title: 'answered 503', colour: colours.light } }

function table (rows) {
  return {
    head: ['server', 'requests', 'lost', 'of them reset', '503', 'TIME_WAIT', 'exit, ms'],
    rows: distinct(ordered(rows), 'variant').map(variant => {
      const rounds = where(rows, { variant })
      const all = name => rounds.map(row => row[name])
      return [cellOf(variant), text(median(all('requests'))), ...['lost', 'reset', 'answered503', 'timeWait', 'exitMs'].map(name => medianAndWorst(all(name)))]
    })
  }
}

// As in the first round, where the servers come in their usual order.
function ordered (rows) {
  return [...rows].sort((a, b) => a.round - b.round)
}

function lossRows (rows) {
  return eachServer(rows, rounds => {
    const { low, high } = range(rounds.map(({ lost, answered503 }) => lost + answered503))
    return { lost: median(rounds.map(({ lost }) => lost)), answered503: median(rounds.map(({ answered503 }) => answered503)), low, high }
  })
}

function chartRows (rows, name) {
  return eachServer(rows.filter(row => row[name] !== null), rounds => range(rounds.map(row => row[name])))
}

function eachServer (rows, valuesOf) {
  return distinct(rows, 'think').flatMap(think => distinct(ordered(rows), 'variant').map(variant => ({
    server: nameOf(variant), facet: `pause of ${think} ms`, ...valuesOf(where(rows, { variant, think }))
  })))
}

function targets (rows) {
  const loss = rounds => rounds.map(({ lost, answered503 }) => lost + answered503)
  const peers = distinct(rows, 'variant').filter(variant => variant !== ours)
  const ofPeers = peers.map(variant => ({ variant, loss: sum(loss(where(rows, { variant }))) })).sort((a, b) => a.loss - b.loss)
  return [
    judge({ what: 'requests lost or answered 503 at SIGTERM, each restart', target: '0', values: loss(where(rows, { variant: ours })), isReached: isNone }),
    judge({
      what: `the same of every other server, all ${distinct(rows, 'round').length * distinct(rows, 'think').length} restarts together`,
      target: `at least ${fewest} each`,
      values: ofPeers.map(({ loss }) => loss),
      isReached: atLeast(fewest),
      worst: Math.min,
      note: ofPeers.length > 0 ? `the least: ${nameOf(ofPeers[0].variant)}` : ''
    })
  ]
}
