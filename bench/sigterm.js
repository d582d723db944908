import Table from 'cli-table3'

import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { keepReport, reportFlag } from './lib/report.js'
import { restartUnderLoad } from './lib/restart.js'
import { openResultsFile } from './lib/results-file.js'
import { rotate } from './lib/rotate.js'
import { median } from './lib/stats.js'
import { variants } from './lib/variants.js'

await run(async () => {
  const flags = readFlags('SIGTERM under keep-alive load: what the clients see with each way to stop a Fastify server.', {
    rounds: { type: 'number', min: 1, max: 100, default: 3, what: 'rounds, the servers in turn in each' },
    restarts: { type: 'number', min: 1, max: 10, default: 1, what: 'restarts in each round' },
    clients: { type: 'number', min: 1, max: 5000, default: 200, what: 'keep-alive clients, one connection each' },
    think: { type: 'numbers', min: 1, max: 10_000, default: [10, 400], what: 'pauses of a client between two requests, ms; one series each' },
    work: { type: 'number', min: 0, max: 1000, default: 5, what: 'time a request takes in the server, ms' },
    'kill-after': { type: 'number', min: 100, max: 120_000, default: 15_000, what: 'time a server may take to exit, ms' },
    only: { type: 'names', allowed: variants, default: variants, what: 'servers to run' },
    json: { type: 'text', what: 'file to write every single result to' },
    report: reportFlag,
  })
  keepReport(flags.report)

  const writeResults = await openResultsFile(flags.json)
  const results = await runAll(flags)
  for (const think of flags.think) console.log(`\n${title(flags, think)}\n${table(results, flags.only, think)}`)
  await writeResults({ flags, results })
})

async function runAll ({ rounds, restarts, clients, think: thinks, work, 'kill-after': killAfter, only }) {
  const results = []
  const total = rounds * thinks.length * only.length

  for (let round = 0; round < rounds; round++) {
    for (const think of thinks) {
      for (const variant of rotate(only, round)) {
        const result = await restartUnderLoad({ variant, clients, think: [think], work, restarts, killAfter })
        results.push({ round, ...result })
        console.log(`[${results.length}/${total}] ${progress(result, think)}`)
      }
    }
  }
  return results
}

function progress ({ variant, requests, lost, answered503, reset, timeWait, exits, stderr }, think) {
  const line = `${variant}, think ${think} ms: ${requests} requests, ${lost} lost (${reset} reset), ` +
    `${answered503} x 503, ${timeWait ?? '?'} TIME_WAIT, exit ${exits.map(exitText).join(' and ')}`
  return [line, ...stderr].join('\n')
}

function exitText ({ ms, code, signal, killed }) {
  if (killed) return `> ${ms} ms, killed`
  return `${ms} ms (${signal ?? code})`
}

function title ({ rounds, restarts, clients, work }, think) {
  return `think ${think} ms, ${clients} clients, requests of ${work} ms, ${restarts} restart(s) in each of ${rounds} round(s): median / worst`
}

function table (results, only, think) {
  const table = new Table({
    head: ['server', 'requests', 'lost', 'reset', '503', 'TIME_WAIT', 'exit, ms', 'exit code'],
    colAligns: ['left', ...Array(6).fill('right'), 'left'],
    style: { head: [], border: [] }
  })
  for (const variant of only) {
    const rounds = results.filter(result => result.variant === variant && result.think[0] === think)
    const exits = rounds.flatMap(result => result.exits)
    table.push([
      variant,
      median(rounds.map(result => result.requests)),
      medianAndWorst(rounds.map(result => result.lost)),
      medianAndWorst(rounds.map(result => result.reset)),
      medianAndWorst(rounds.map(result => result.answered503)),
      rounds.some(result => result.timeWait === null) ? '-' : medianAndWorst(rounds.map(result => result.timeWait)),
      medianAndWorst(exits.map(exit => exit.ms)),
      [...new Set(exits.map(exit => exit.killed ? 'killed' : exit.signal ?? exit.code))].join(', ')
    ])
  }
  return table.toString()
}

function medianAndWorst (values) {
  return `${median(values)} / ${Math.max(...values)}`
}
