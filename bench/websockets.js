import Table from 'cli-table3'

import { readFlags } from './lib/flags.js'
import { bars, evenness, histogram } from './lib/histogram.js'
import { run } from './lib/main.js'
import { keepReport, reportFlag } from './lib/report.js'
import { openResultsFile } from './lib/results-file.js'
import { rotate } from './lib/rotate.js'
import { median } from './lib/stats.js'
import { restartWithWebSockets } from './lib/websocket-restart.js'

const variants = { bare: 'Fastify alone', 'fastify-drain': 'fastify-drain' }
const binWidth = 100
// What is promised of the end of the process, in ms after closeSpread.
const promised = 2000

await run(async () => {
  const flags = readFlags('SIGTERM with open WebSockets: how each is closed, when, and when the clients are back at the successor.', {
    sockets: { type: 'number', min: 1, max: 20_000, default: 1000, what: 'WebSockets' },
    processes: { type: 'number', min: 1, max: 16, default: 2, what: 'processes for the clients' },
    spread: { type: 'numbers', min: 0, max: 20_000, default: [0, 3000], what: 'closeSpread of the plugin, ms; one series each' },
    rounds: { type: 'number', min: 1, max: 100, default: 3, what: 'rounds, the servers in turn in each' },
    'kill-after': { type: 'number', min: 100, max: 120_000, default: 30_000, what: 'time a server may take to exit, ms' },
    only: { type: 'names', allowed: Object.keys(variants), default: Object.keys(variants), what: 'servers to run' },
    report: reportFlag,
    json: { type: 'text', what: 'file to write every single result to' }
  })
  keepReport(flags.report)

  const writeResults = await openResultsFile(flags.json)
  const series = flags.only.flatMap(variant => (variant === 'bare' ? [0] : flags.spread).map(closeSpread => ({ variant, closeSpread })))
  const results = await runAll(flags, series)
  for (const one of series) console.log(`\n${picture(resultsOf(results, one).at(-1))}`)
  console.log(`\n${flags.sockets} WebSockets, ${flags.rounds} round(s): median / worst\n${table(results, series)}`)
  await writeResults({ flags, results })
})

async function runAll ({ sockets, processes, rounds, 'kill-after': killAfter }, series) {
  const results = []
  for (let round = 0; round < rounds; round++) {
    for (const { variant, closeSpread } of rotate(series, round)) {
      const result = await restartWithWebSockets({ variant, closeSpread, sockets, processes, killAfter })
      results.push({ round, ...result })
      console.log(`[${results.length}/${rounds * series.length}] ${progress(result)}`)
    }
  }
  return results
}

function name ({ variant, closeSpread }) {
  return variant === 'bare' ? variants.bare : `${variants[variant]}, closeSpread ${closeSpread} ms`
}

function progress (result) {
  const { sockets, codes, unclean, failed, moved, exit: { ms, code, signal, killed }, stderr } = result
  const line = `${name(result)}: ${Object.entries(codes).map(([code, count]) => `${count} x ${code}`).join(', ')}, ${unclean} not clean, ` +
    `${moved} of ${sockets} at the successor after ${failed} failed tries, exit ${killed ? `> ${ms} ms, killed` : `${ms} ms (${signal ?? code})`}`
  return [line, ...stderr].join('\n')
}

function resultsOf (results, { variant, closeSpread }) {
  return results.filter(result => result.variant === variant && result.closeSpread === closeSpread)
}

function picture (result) {
  const { closedAt, openedAt } = result
  const end = Math.max(...closedAt, ...openedAt) + 1
  return `${name(result)}, last round, per ${binWidth} ms from SIGTERM on:\n` +
    bars(binWidth, [{ title: 'closed', bins: histogram(closedAt, binWidth, end) }, { title: 'back', bins: histogram(openedAt, binWidth, end) }])
}

function table (results, series) {
  const table = new Table({
    head: ['server', 'close codes', 'not clean', 'back', 'exit, ms', `exit <= spread + ${promised} ms`, 'closed: max / mean', 'chi-square / df', 'back: max per 100 ms'],
    colAligns: ['left', 'left', ...Array(7).fill('right')],
    style: { head: [], border: [] }
  })
  for (const one of series) {
    const rounds = resultsOf(results, one)
    const spread = rounds.map(({ closedAt, closeSpread }) => evenness(histogram(closedAt, binWidth, Math.max(closeSpread, binWidth))))
    const exits = rounds.map(({ exit: { ms } }) => ms)
    const hasSpread = one.closeSpread > binWidth
    table.push([
      name(one),
      [...new Set(rounds.flatMap(({ codes }) => Object.keys(codes)))].map(code => `${code}: ${medianAndWorst(rounds.map(({ codes }) => codes[code] ?? 0))}`).join('\n'),
      medianAndWorst(rounds.map(({ unclean }) => unclean)),
      medianAndWorst(rounds.map(({ moved }) => moved), Math.min),
      medianAndWorst(exits),
      rounds.every(({ exit, closeSpread }) => !exit.killed && exit.ms <= closeSpread + promised) ? 'yes' : 'no',
      hasSpread ? medianAndWorst(spread.map(({ maxToMean }) => round(maxToMean))) : '-',
      hasSpread ? medianAndWorst(spread.map(({ chiSquare }) => round(chiSquare))) : '-',
      medianAndWorst(rounds.map(({ openedAt }) => Math.max(...histogram(openedAt, binWidth, Math.max(...openedAt) + 1))))
    ])
  }
  return table.toString()
}

function round (value) {
  return Math.round(value * 100) / 100
}

function medianAndWorst (values, worst = Math.max) {
  return `${median(values)} / ${worst(...values)}`
}
