import { distribution } from '../lib/page/charts.js'
import { text } from '../lib/page/numbers.js'
import { atMost, judge } from '../lib/page/targets.js'

const fewestPairs = 30
const limit = 1
const titles = { apart: 'two processes', together: 'both in one process' }

export default {
  title: 'CPU per request while nothing is shut down',
  minutes: { full: 5, quick: 1 },

  runs: quick => {
    const flags = ['overhead.js', '--rounds', '0', ...quick ? ['--pairs', '3', '--requests', '4000'] : ['--pairs', '30']]
    return { apart: flags, together: [...flags, '--together'] }
  },

  condense: raw => ({
    series: Object.entries(raw).map(([series, { flags, results: [{ cpu: { bare, plugin, ratio, quartiles, interval, pairs } }] }]) => ({
      series, requests: flags.requests, bare, plugin, difference: percent(ratio), quartiles: quartiles.map(percent), interval: interval.map(percent), pairs: pairs.map(({ ratio }) => percent(ratio))
    }))
  }),

  section: ({ series }) => ({
    title: 'CPU per request while nothing is shut down',
    shows: 'CPU time of the server for GET requests on 50 keep-alive connections, without the plugin and with it. A pair is two fresh processes that take short turns; the difference is that of the plugin\'s ' +
      'server from the other. Two processes differ by more than what the plugin does, because one that has loaded more code is slower, whatever the code: with both apps in one process, that hits both. ' +
      'The interval of the median is a bootstrap one of 95 %.',
    tables: [{ head: ['a pair is', 'pairs', 'without, us', 'with, us', 'median of the pairs, %', '95 % interval, %', 'quartiles, %'], rows: series.map(row) }],
    charts: [{ file: 'overhead.svg', alt: 'CPU per request: differences of the pairs', spec: chart(series) }],
    targets: series.filter(({ series }) => series === 'apart').map(({ interval, pairs }) => judge({
      what: `CPU per request beyond bare Fastify, median of ${pairs.length} pairs`,
      target: `at most ${limit} %, of at least ${fewestPairs} pairs`,
      values: pairs.length < fewestPairs ? [] : pairs,
      isReached: atMost(limit),
      by: 'median',
      digits: 2,
      unit: ' %',
      note: `95 % interval of the median ${interval.map(signed).join(' to ')} %`
    }))
  })
}

function percent (ratio) {
  return Math.round((ratio - 1) * 1e5) / 1e3
}

function signed (value) {
  return `${value > 0 ? '+' : ''}${text(value, 2)}`
}

function row ({ series, bare, plugin, difference, interval, quartiles, pairs }) {
  return [titles[series], pairs.length, text(bare, 2), text(plugin, 2), signed(difference), interval.map(signed).join(' to '), quartiles.map(signed).join(' to ')]
}

function chart (series) {
  return distribution({
    title: 'CPU per request: differences of the pairs',
    subtitle: 'each dot is a pair; below, the median and its 95 % interval; dashed: none, and the target',
    axis: 'with the plugin, more than without it, %',
    reference: [0, limit],
    rows: series.flatMap(({ series, pairs }) => pairs.map(value => ({ series: titles[series], value }))),
    intervals: series.map(({ series, difference, interval: [low, high] }) => ({ series: titles[series], median: difference, low, high }))
  })
}
