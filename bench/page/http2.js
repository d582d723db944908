import { bars } from '../lib/page/charts.js'
import { cellOf, nameOf, ours } from '../lib/page/names.js'
import { distinct, medianAndWorst, range, text, where } from '../lib/page/numbers.js'
import { isNone, judge } from '../lib/page/targets.js'
import { median } from '../lib/stats.js'

const titles = { h2c: 'h2c', h2: 'HTTP/2 over TLS' }
const counted = ['executed', 'unanswered', 'refused', 'refusedButExecuted', 'twice', 'neverSent', 'answered503', 'lost', 'outlived', 'timeWait']

export default {
  title: 'HTTP/2',
  minutes: { full: 3, quick: 2 },

  runs: (quick, line) => ({ streams: ['http2.js', '--node', line, '--rounds', quick ? '1' : '2', ...quick ? ['--sessions', '30'] : []] }),

  condense: ({ streams: { flags, results } }) => ({
    sessions: flags.sessions,
    streams: flags.streams,
    rows: results.map(({ round, line, protocol, variant, exit, ...result }) => ({
      round, line, protocol, variant, ...Object.fromEntries(counted.map(name => [name, result[name]])), exitMs: exit.ms, killed: exit.killed
    }))
  }),

  section: ({ sessions, streams, rows }) => ({
    title: 'HTTP/2',
    shows: `${sessions} sessions that keep ${streams} streams open each; the successor listens, then the old process gets SIGTERM. What the clients saw of every stream is compared with the servers' own ` +
      'ledger. *Unanswered*: executed, but without the whole answer. *Refused* was not executed, so the client may send it again; *of them executed* would be executed twice. ' +
      '*Lost*: an error that does not say which. *Outlived*: how long a session stays after its last stream.',
    tables: distinct(rows, 'protocol').map(protocol => ({ caption: `Node ${distinct(rows, 'line')}, ${titles[protocol]}, ${distinct(rows, 'round').length} round(s): median / worst`, ...table(where(rows, { protocol })) })),
    charts: [{ file: 'http2.svg', alt: 'Streams that a restart fails', spec: chart(rows) }],
    targets: [judge({ what: 'HTTP/2 streams lost, executed without an answer, executed twice or answered 503, each restart', target: '0', values: where(rows, { variant: ours }).map(failed), isReached: isNone })]
  })
}

function failed ({ unanswered, refusedButExecuted, twice, answered503, lost }) {
  return unanswered + refusedButExecuted + twice + answered503 + lost
}

function table (rows) {
  return {
    head: ['server', 'executed', 'unanswered', 'refused', 'of them executed', 'never sent', '503', 'lost', 'outlived, ms', 'TIME_WAIT', 'exit, ms'],
    rows: distinct(rows, 'variant').map(variant => {
      const rounds = where(rows, { variant })
      const all = name => rounds.map(row => row[name])
      return [
        cellOf(variant),
        text(median(all('executed'))),
        ...['unanswered', 'refused', 'refusedButExecuted', 'neverSent', 'answered503', 'lost', 'outlived', 'timeWait'].map(name => medianAndWorst(all(name))),
        medianAndWorst(all('exitMs')) + (all('killed').includes(true) ? ', killed' : '')
      ]
    })
  }
}

function chart (rows) {
  return bars({
    title: 'Streams that a restart fails',
    subtitle: 'lost, unanswered, executed twice or 503; logarithmic from 1 on; median, best and worst round',
    axis: 'streams',
    scale: { type: 'symlog' },
    ticks: [0, 10, 100, 1000, 10_000, 100_000],
    rows: distinct(rows, 'protocol').flatMap(protocol => distinct(rows, 'variant').map(variant => ({
      server: nameOf(variant), facet: titles[protocol], ...range(where(rows, { protocol, variant }).map(failed))
    })))
  })
}
