import { bars } from '../lib/page/charts.js'
import { medianAndWorst, range, text } from '../lib/page/numbers.js'
import { median } from '../lib/stats.js'

export default {
  title: 'Memory of an idle connection',
  minutes: { full: 3, quick: 1 },

  runs: quick => ({ heap: ['overhead.js', '--pairs', '0', '--rounds', quick ? '1' : '3', '--server', 'http,https,h2c,h2', ...quick ? ['--connections', '500'] : []] }),

  condense: ({ heap: { flags, results } }) => ({
    connections: flags.connections,
    rows: results.map(({ protocol, heap: { rounds } }) => ({ protocol, rounds: rounds.map(({ bare, plugin }) => ({ bare: Math.round(bare), plugin: Math.round(plugin) })) }))
  }),

  section: ({ connections, rows }) => ({
    title: 'Memory of an idle connection',
    shows: `Heap of a fresh server process after ${text(connections)} connections (sessions of HTTP/2) have made one request each, minus the heap before, both after several garbage collections.`,
    tables: [{
      caption: `${rows[0]?.rounds.length} round(s), bytes: median / worst`,
      head: ['protocol', 'Fastify alone', 'fastify-drain', 'difference'],
      rows: rows.map(({ protocol, rounds }) => [
        protocol, medianAndWorst(rounds.map(({ bare }) => bare)), medianAndWorst(rounds.map(({ plugin }) => plugin)), medianAndWorst(differences(rounds))
      ])
    }],
    charts: [{
      file: 'memory.svg',
      alt: 'Heap that the plugin adds to an idle connection',
      spec: bars({
        title: 'Heap that the plugin adds to an idle connection',
        subtitle: `Fastify alone takes ${rows.map(({ protocol, rounds }) => `${text(median(rounds.map(({ bare }) => bare)))} (${protocol})`).join(', ')}; median, lowest and highest round`,
        axis: 'bytes',
        width: 420,
        rows: rows.map(({ protocol, rounds }) => ({ server: protocol, ...range(differences(rounds)) }))
      })
    }],
    targets: []
  })
}

function differences (rounds) {
  return rounds.map(({ bare, plugin }) => plugin - bare)
}
