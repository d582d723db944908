import { bars } from '../lib/page/charts.js'
import { cellOf, nameOf, ours } from '../lib/page/names.js'
import { distinct, medianAndWorst, range, where } from '../lib/page/numbers.js'
import { atMost, judge } from '../lib/page/targets.js'
import { median } from '../lib/stats.js'

// Defaults of the plugin, and what is allowed besides, in ms.
const idleGrace = 1000
const margin = { busy: 100, idle: 300 }
const titles = { busy: 'a request in flight on each connection', idle: 'idle connections only', mixed: 'half of them idle, half thinking' }

export default {
  title: 'From SIGTERM to the exit',
  minutes: { full: 3, quick: 1 },

  // A server that has not ended by then waits for a timeout of its own.
  runs: quick => ({ exits: ['exit-time.js', '--rounds', quick ? '1' : '3', '--kill-after', '3000'] }),

  condense: ({ exits: { flags, results } }) => ({
    connections: flags.connections,
    killAfter: flags['kill-after'],
    rows: results.map(({ round, variant, kind, exit, longest, lost }) => ({
      round, variant, kind, exitMs: exit.ms, killed: exit.killed, longest: longest === null ? null : Math.round(longest * 10) / 10, lost
    }))
  }),

  section: ({ connections, killAfter, rows }) => ({
    title: 'From SIGTERM to the exit',
    shows: `${connections} keep-alive connections: with a request of 500 ms in flight on each, which ends 250 to 500 ms after SIGTERM; all idle; and half idle, half with a request of 5 ms every 400 ms. ` +
      'The limit of the first is the longest request that is in flight: from SIGTERM until the client has its answer. fastify-drain leaves idle connections open for its idleGrace of ' +
      `${idleGrace} ms, so that a request that is on its way is served: that is what the others lose. A server that has not ended after ${killAfter} ms is killed.`,
    tables: distinct(rows, 'kind').map(kind => ({ caption: `${titles[kind]}: median / worst`, ...table(where(rows, { kind }), kind) })),
    charts: distinct(rows, 'kind').map(kind => ({ file: `exit-${kind}.svg`, alt: `From SIGTERM to the exit: ${titles[kind]}`, spec: chart(where(rows, { kind }), kind, killAfter) })),
    targets: targets(rows)
  })
}

function table (rows, kind) {
  const isBusy = kind === 'busy'
  return {
    head: ['server', 'exit, ms', ...isBusy ? ['longest request in flight, ms', 'exit / longest request'] : [], 'lost'],
    rows: distinct(rows, 'variant').map(variant => {
      const rounds = where(rows, { variant })
      return [
        cellOf(variant),
        medianAndWorst(rounds.map(({ exitMs }) => exitMs)) + (rounds.some(({ killed }) => killed) ? ', killed' : ''),
        ...isBusy ? [medianAndWorst(rounds.map(({ longest }) => longest)), medianAndWorst(rounds.map(({ exitMs, longest }) => exitMs / longest), { digits: 2 })] : [],
        medianAndWorst(rounds.map(({ lost }) => lost))
      ]
    })
  }
}

function chart (rows, kind, killAfter) {
  return bars({
    title: `From SIGTERM to the exit: ${titles[kind]}`,
    subtitle: `${kind === 'busy' ? 'dashed: the longest request in flight; ' : ''}median, best and worst round${rows.some(({ killed }) => killed) ? `; killed after ${killAfter} ms` : ''}`,
    ...kind === 'busy' ? { limit: median(rows.map(({ longest }) => longest)) } : {},
    axis: 'ms',
    width: 420,
    rows: distinct(rows, 'variant').map(variant => ({ server: nameOf(variant), ...range(where(rows, { variant }).map(({ exitMs }) => exitMs)) }))
  })
}

function targets (rows) {
  const mine = where(rows, { variant: ours })
  const busy = where(mine, { kind: 'busy' })
  return [
    judge({
      what: 'exit when all connections are busy, beyond the longest request in flight',
      target: `at most ${margin.busy} ms`,
      unit: ' ms',
      values: busy.map(({ exitMs, longest }) => exitMs - longest),
      isReached: atMost(margin.busy)
    }),
    judge({
      what: 'exit otherwise',
      target: `at most idleGrace + ${margin.idle} ms = ${idleGrace + margin.idle} ms`,
      unit: ' ms',
      values: mine.filter(({ kind }) => kind !== 'busy').map(({ exitMs }) => exitMs),
      isReached: atMost(idleGrace + margin.idle)
    })
  ]
}
