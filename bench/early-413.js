import Table from 'cli-table3'

import { moments, uploadTooMuch } from './lib/early-413.js'
import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { openResultsFile } from './lib/results-file.js'
import { rotate } from './lib/rotate.js'
import { median } from './lib/stats.js'
import { clients } from './lib/upload-clients.js'
import { variants } from './lib/variants.js'

await run(async () => {
  const flags = readFlags('Uploads that are answered 413 long before they have been sent: who reads the whole answer.', {
    rounds: { type: 'number', min: 1, max: 100, default: 1, what: 'rounds, the servers in turn in each' },
    uploads: { type: 'number', min: 1, max: 1000, default: 40, what: 'uploads of each client to each server in a round' },
    size: { type: 'number', min: 2, max: 1000, default: 8, what: 'length of a body, in megabytes; the server takes one' },
    clients: { type: 'names', allowed: Object.keys(clients), default: Object.keys(clients), what: 'clients' },
    moments: { type: 'names', allowed: Object.keys(moments), default: Object.keys(moments), what: 'one after the other in steady state, or all at once right before SIGTERM' },
    'kill-after': { type: 'number', min: 100, max: 120_000, default: 15_000, what: 'time a server may take to exit, ms' },
    only: { type: 'names', allowed: variants, default: variants, what: 'servers to run' },
    json: { type: 'text', what: 'file to write every single result to' }
  })
  const writeResults = await openResultsFile(flags.json)
  const results = await runAll(flags)
  for (const moment of flags.moments) console.log(`\n${title(flags, moment)}\n${table(results, flags, moment)}`)
  await writeResults({ flags, results })
})

async function runAll ({ rounds, uploads, size, clients: kinds, moments: when, only, 'kill-after': killAfter }) {
  const results = []
  const total = rounds * when.length * kinds.length * only.length
  for (let round = 0; round < rounds; round++) {
    for (const moment of when) {
      for (const client of kinds) {
        for (const variant of rotate(only, round)) {
          const result = await uploadTooMuch({ variant, client, moment, uploads, size: size * 1e6, killAfter })
          results.push({ round, ...result })
          console.log(`[${results.length}/${total}] ${progress(result)}`)
        }
      }
    }
  }
  return results
}

function progress ({ variant, client, moment, uploads, whole, reset, other, errors, afterSignal, exit, stderr }) {
  const why = Object.entries(errors).map(([error, times]) => `${times} x ${error}`).join(', ')
  const end = moment === 'steady' ? '' : `; ${afterSignal} ended after SIGTERM, exit ${exit === null ? 'never told' : exit.killed ? 'killed' : `${exit.ms} ms (${exit.signal ?? exit.code})`}`
  const line = `${clients[client].title}, ${variant}, ${moments[moment].title}: ${whole} of ${uploads} answers read, ${reset} reset, ${other} other${why && ` (${why})`}${end}`
  return [line, ...stderr].join('\n')
}

function title ({ rounds, uploads, size }, moment) {
  return `${uploads} uploads of ${size} MB, ${moments[moment].title}, ${rounds} round(s): answers read, median / worst`
}

function table (results, { clients: kinds, only }, moment) {
  const table = new Table({
    head: ['server', ...kinds.map(kind => clients[kind].title)],
    colAligns: ['left', ...kinds.map(() => 'right')],
    style: { head: [], border: [] }
  })
  for (const variant of only) {
    table.push([variant, ...kinds.map(client => {
      const read = results.filter(result => result.variant === variant && result.client === client && result.moment === moment).map(({ whole }) => whole)
      return `${median(read)} / ${Math.min(...read)}`
    })])
  }
  return table.toString()
}
