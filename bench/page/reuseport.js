import { bars } from '../lib/page/charts.js'
import { distinct, medianAndWorst, range, text, where } from '../lib/page/numbers.js'
import { isNone, judge } from '../lib/page/targets.js'
import { median } from '../lib/stats.js'
import { ours } from '../lib/page/names.js'

const titles = { bare: 'Fastify alone', 'without-steering': 'without steering', 'fastify-drain': 'fastify-drain' }

export default {
  title: 'A group of processes on one port',
  minutes: { full: 3, quick: 1 },

  runs: (quick, line) => ({ groups: ['reuseport.js', '--node', line, ...quick ? ['--rounds', '1', '--members', '2', '--seconds', '4'] : ['--rounds', '3', '--seconds', '5']] }),

  condense: ({ groups: { flags, results } }) => ({
    loops: flags.loops,
    rows: results.map(({ round, line, variant, members, connections, refused, reset, empty, other, shares, exits }) => ({
      round,
      line,
      variant,
      members,
      connections,
      refused,
      reset,
      empty,
      other,
      smallestShare: Math.min(...shares.flat()),
      largestShare: Math.max(...shares.flat()),
      exitMs: Math.max(...exits.map(({ ms }) => ms))
    }))
  }),

  section: ({ loops, rows }) => ({
    title: 'A group of processes on one port',
    shows: `SO_REUSEPORT, ${loops} loops that make one connection after the other, three restarts in each round: a new member listens, then the oldest gets SIGTERM. *Without steering* is ` +
      'fastify-drain that has not been told that the port is shared: it accepts until nobody comes any more, and closes.',
    tables: distinct(rows, 'members').map(members => ({ caption: `Node ${distinct(rows, 'line')}, a group of ${members}, ${distinct(rows, 'round').length} round(s): median / worst; shares: the worst`, ...table(where(rows, { members })) })),
    charts: [{ file: 'reuse-port.svg', alt: 'Connections that three restarts of a group lose', spec: chart(rows) }],
    targets: [judge({ what: 'connections that three restarts of a group lose (SO_REUSEPORT)', target: '0', values: where(rows, { variant: ours }).map(lost), isReached: isNone })]
  })
}

function lost ({ refused, reset, empty, other }) {
  return refused + reset + empty + other
}

function table (rows) {
  return {
    head: ['server', 'connections', 'refused', 'reset', 'empty', 'other', 'smallest share', 'largest share', 'exit, ms'],
    rows: distinct(rows, 'variant').map(variant => {
      const rounds = where(rows, { variant })
      const all = name => rounds.map(row => row[name])
      return [
        variant === ours ? `**${titles[variant]}**` : titles[variant],
        text(median(all('connections'))),
        ...['refused', 'reset', 'empty', 'other'].map(name => medianAndWorst(all(name))),
        text(Math.min(...all('smallestShare')), 2),
        text(Math.max(...all('largestShare')), 2),
        medianAndWorst(all('exitMs'))
      ]
    })
  }
}

function chart (rows) {
  return bars({
    title: 'Connections that three restarts of a group lose',
    subtitle: 'refused, reset, empty or another answer; median, best and worst round',
    axis: 'connections',
    rows: distinct(rows, 'members').flatMap(members => distinct(rows, 'variant').map(variant => ({
      server: titles[variant], facet: `group of ${members}`, ...range(where(rows, { members, variant }).map(lost))
    })))
  })
}
