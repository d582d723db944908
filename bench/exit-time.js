import Table from 'cli-table3'

import { measureExit, series } from './lib/exit-time.js'
import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { openResultsFile } from './lib/results-file.js'
import { rotate } from './lib/rotate.js'
import { median } from './lib/stats.js'
import { variants } from './lib/variants.js'

await run(async () => {
  const flags = readFlags('How long a server takes from SIGTERM to its exit: with a request on every connection, and with idle ones.', {
    rounds: { type: 'number', min: 1, max: 100, default: 3, what: 'rounds, the servers in turn in each' },
    connections: { type: 'number', min: 2, max: 5000, default: 200, what: 'keep-alive connections' },
    series: { type: 'names', allowed: Object.keys(series), default: Object.keys(series), what: 'what the connections do' },
    'kill-after': { type: 'number', min: 100, max: 120_000, default: 15_000, what: 'time a server may take to exit, ms' },
    only: { type: 'names', allowed: variants, default: variants, what: 'servers to run' },
    json: { type: 'text', what: 'file to write every single result to' }
  })
  const writeResults = await openResultsFile(flags.json)
  const results = await runAll(flags)
  for (const kind of flags.series) console.log(`\n${flags.connections} connections, ${series[kind].title}, ${flags.rounds} round(s): median / worst\n${table(results, flags.only, kind)}`)
  await writeResults({ flags, results })
})

async function runAll ({ rounds, connections, series: kinds, only, 'kill-after': killAfter }) {
  const results = []
  const total = rounds * kinds.length * only.length
  for (let round = 0; round < rounds; round++) {
    for (const kind of kinds) {
      for (const variant of rotate(only, round)) {
        const result = await measureExit({ variant, kind, connections, killAfter })
        results.push({ round, ...result })
        console.log(`[${results.length}/${total}] ${progress(result)}`)
      }
    }
  }
  return results
}

function progress ({ variant, kind, exit: { ms, code, signal, killed }, longest, lost, stderr }) {
  const request = longest === null ? '' : `, the longest request in flight ${Math.round(longest)} ms`
  const line = `${variant}, ${series[kind].title}: exit ${killed ? `> ${ms} ms, killed` : `${ms} ms (${signal ?? code})`}${request}, ${lost} lost`
  return [line, ...stderr].join('\n')
}

function table (results, only, kind) {
  const isBusy = kind === 'busy'
  const table = new Table({
    head: ['server', 'exit, ms', ...isBusy ? ['longest request, ms', 'exit / longest request'] : [], 'lost'],
    colAligns: ['left', ...Array(isBusy ? 4 : 2).fill('right')],
    style: { head: [], border: [] }
  })
  for (const variant of only) {
    const rounds = results.filter(result => result.variant === variant && result.kind === kind)
    table.push([
      variant,
      medianAndWorst(rounds.map(({ exit }) => exit.ms)),
      ...isBusy ? [medianAndWorst(rounds.map(({ longest }) => longest)), medianAndWorst(rounds.map(({ exit, longest }) => exit.ms / longest), 2)] : [],
      medianAndWorst(rounds.map(({ lost }) => lost))
    ])
  }
  return table.toString()
}

function medianAndWorst (values, digits = 0) {
  return `${median(values).toFixed(digits)} / ${Math.max(...values).toFixed(digits)}`
}
