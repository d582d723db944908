import { colours, stackedBars } from '../lib/page/charts.js'
import { cellOf, nameOf, ours } from '../lib/page/names.js'
import { distinct, medianAndWorst, range, text, where } from '../lib/page/numbers.js'
import { isNone, judge } from '../lib/page/targets.js'
import { median } from '../lib/stats.js'

const titles = { haproxy: 'HAProxy', nginx: 'nginx', caddy: 'Caddy' }

export default {
  title: 'Rolling restart behind a proxy',
  minutes: { full: 4, quick: 2 },
  typescript: true,

  runs: quick => ({ rolling: ['rolling.js', '--runs', quick ? '1' : '3', '--rounds', '1', '--settle', '1000'] }),

  condense: ({ rolling: { flags, results } }) => ({
    replicas: flags.replicas,
    clients: flags.clients,
    think: flags.think,
    work: flags.work,
    checkEvery: flags['check-every'],
    shutdownDelay: flags['shutdown-delay'],
    rows: results.map(({ run, proxy, variant, requests, ok, statuses, errors, latencyMax, exits }) => ({
      run,
      proxy,
      variant,
      requests,
      failed: requests - ok,
      statuses: without(statuses, ['200']),
      errors: withoutStatuses(errors),
      longestWait: Math.round(latencyMax),
      exitMs: Math.max(...exits.map(({ ms }) => ms))
    }))
  }),

  section: ({ replicas, clients, think, work, checkEvery, shutdownDelay, rows }) => ({
    title: 'Rolling restart behind a proxy',
    shows: `Every one of ${replicas} replicas is restarted once in a run, under ${clients} clients that send POST requests of ${work} ms with a pause of ${think} ms. No proxy sends anything twice. ` +
      `HAProxy and Caddy check each replica every ${checkEvery} ms, and the lame duck of fastify-drain (shutdownDelay) lasts ${shutdownDelay} ms. nginx does not check: there the replacement ` +
      'listens on the same port before the old process gets SIGTERM, for both servers.',
    tables: [{ caption: `${distinct(rows, 'run').length} run(s): median / worst`, ...table(rows) }],
    charts: [{ file: 'rolling.svg', alt: 'Requests that fail in a rolling restart, by proxy', spec: chart(rows) }],
    targets: [judge({ what: 'requests that fail in a rolling restart behind HAProxy, nginx or Caddy, each run', target: '0', values: where(rows, { variant: ours }).map(({ failed }) => failed), isReached: isNone })]
  })
}

function without (counts, keys) {
  return Object.fromEntries(Object.entries(counts).filter(([key]) => !keys.includes(key)))
}

// The answers with another status are counted by it.
function withoutStatuses (errors) {
  return Object.fromEntries(Object.entries(errors).filter(([error]) => !error.startsWith('status ')))
}

function eachServer (rows) {
  return distinct(rows, 'proxy').flatMap(proxy => distinct(rows, 'variant').map(variant => ({ proxy, variant, runs: where(rows, { proxy, variant }) })))
}

function table (rows) {
  return {
    head: ['proxy', 'server', 'requests', 'failed', 'what came instead, all runs', 'longest wait, ms', 'exit, ms'],
    rows: eachServer(rows).map(({ proxy, variant, runs }) => [
      titles[proxy],
      cellOf(variant),
      text(median(runs.map(({ requests }) => requests))),
      medianAndWorst(runs.map(({ failed }) => failed)),
      instead(runs),
      medianAndWorst(runs.map(({ longestWait }) => longestWait)),
      medianAndWorst(runs.map(({ exitMs }) => exitMs))
    ])
  }
}

function instead (runs) {
  const counts = {}
  for (const { statuses, errors } of runs) {
    for (const [what, times] of [...Object.entries(statuses), ...Object.entries(errors)]) counts[what] = (counts[what] ?? 0) + times
  }
  return Object.entries(counts).map(([what, times]) => `${times} x ${what}`).join(', ')
}

function chart (rows) {
  return stackedBars({
    title: 'Requests that fail in a rolling restart, by proxy',
    subtitle: 'median of the runs; the line reaches from the best run to the worst',
    axis: 'requests',
    width: 200,
    kinds: { answered: { title: 'another status than 200', colour: colours.light }, lost: { title: 'no answer', colour: colours.dark } },
    rows: eachServer(rows).map(({ proxy, variant, runs }) => {
      const answered = ({ statuses }) => Object.values(statuses).reduce((sum, n) => sum + n, 0)
      return {
        server: nameOf(variant),
        facet: titles[proxy],
        answered: median(runs.map(answered)),
        lost: median(runs.map(run => run.failed - answered(run))),
        ...(({ low, high }) => ({ low, high }))(range(runs.map(({ failed }) => failed)))
      }
    })
  })
}
