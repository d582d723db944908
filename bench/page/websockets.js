import { histogram } from '../lib/histogram.js'
import { bars } from '../lib/page/charts.js'
import { nameOf, ours } from '../lib/page/names.js'
import { distinct, medianAndWorst, range, where } from '../lib/page/numbers.js'
import { isNone, judge } from '../lib/page/targets.js'

const binWidth = 100

export default {
  title: 'WebSockets',
  minutes: { full: 1, quick: 1 },

  runs: quick => ({ sockets: ['websockets.js', '--rounds', quick ? '1' : '3', ...quick ? ['--sockets', '300'] : []] }),

  condense: ({ sockets: { results } }) => ({
    rows: results.map(({ round, variant, closeSpread, sockets, codes, unclean, moved, openedAt, exit }) => ({
      round, variant, closeSpread, sockets, codes, unclean, moved, exitMs: exit.ms, peak: openedAt.length === 0 ? 0 : Math.max(...histogram(openedAt, binWidth, Math.max(...openedAt) + 1))
    }))
  }),

  section: ({ rows }) => ({
    title: 'WebSockets',
    shows: `${distinct(rows, 'sockets')} open WebSockets; the successor listens, then the old process gets SIGTERM. Clients come back after a random time of up to 500 ms. ` +
      'Close codes: 1001 going away, 1005 no code, 1006 no close frame.',
    tables: [{ caption: `${distinct(rows, 'round').length} round(s): median / worst`, ...table(rows) }],
    charts: [{ file: 'websockets.svg', alt: `WebSockets that come back in the fullest ${binWidth} ms`, spec: chart(rows) }],
    targets: [judge({
      what: 'WebSockets that are not closed with 1001, not cleanly, or do not come back, each restart',
      target: '0',
      values: where(rows, { variant: ours }).map(({ sockets, codes, unclean, moved }) => sockets - (codes[1001] ?? 0) + unclean + sockets - moved),
      isReached: isNone
    })]
  })
}

function series (rows) {
  return distinct(rows, 'variant').flatMap(variant => distinct(where(rows, { variant }), 'closeSpread').map(closeSpread => ({
    name: variant === ours ? `${ours}${closeSpread > 0 ? `, closeSpread ${closeSpread} ms` : ''}` : nameOf(variant),
    rounds: where(rows, { variant, closeSpread })
  })))
}

function table (rows) {
  return {
    head: ['server', 'close codes', 'not clean', 'back at the successor', `most back in ${binWidth} ms`, 'exit, ms'],
    rows: series(rows).map(({ name, rounds }) => [
      name,
      [...new Set(rounds.flatMap(({ codes }) => Object.keys(codes)))].map(code => `${code}: ${medianAndWorst(rounds.map(({ codes }) => codes[code] ?? 0))}`).join(', '),
      medianAndWorst(rounds.map(({ unclean }) => unclean)),
      medianAndWorst(rounds.map(({ moved }) => moved), { worst: Math.min }),
      medianAndWorst(rounds.map(({ peak }) => peak)),
      medianAndWorst(rounds.map(({ exitMs }) => exitMs))
    ])
  }
}

function chart (rows) {
  return bars({
    title: `WebSockets that come back in the fullest ${binWidth} ms`,
    subtitle: 'median, best and worst round',
    axis: 'WebSockets',
    width: 420,
    rows: series(rows).map(({ name, rounds }) => ({ server: name, ...range(rounds.map(({ peak }) => peak)) }))
  })
}
