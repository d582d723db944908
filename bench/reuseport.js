import Table from 'cli-table3'

import { nodeVersions } from '../scripts/toolchain.js'
import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { resolveLines } from './lib/node-lines.js'
import { keepReport, reportFlag } from './lib/report.js'
import { openResultsFile } from './lib/results-file.js'
import { rollingRestart } from './lib/rolling-restart.js'
import { rotate } from './lib/rotate.js'
import { median } from './lib/stats.js'

const variants = { bare: 'Fastify alone', 'without-steering': 'fastify-drain, no steering', 'fastify-drain': 'fastify-drain' }
const restarts = 3
const killAfter = 15_000

await run(async () => {
  if (process.platform !== 'linux') throw new Error('SO_REUSEPORT spreads connections over a group of sockets on Linux only: run this there')
  const flags = readFlags(`A group of processes on one port (SO_REUSEPORT), ${restarts} restarts under loops of new connections: what the clients see.`, {
    node: { type: 'names', allowed: Object.keys(nodeVersions), default: ['20', '24'], what: 'Node lines' },
    members: { type: 'numbers', min: 2, max: 16, default: [2, 4], what: 'sizes of the group' },
    seconds: { type: 'number', min: 2, max: 600, default: 7, what: 'time under load in each run, besides what the members need to exit' },
    rounds: { type: 'number', min: 1, max: 100, default: 3, what: 'rounds, the variants in turn in each' },
    loops: { type: 'number', min: 1, max: 1000, default: 60, what: 'loops that each make one connection after the other' },
    only: { type: 'names', allowed: Object.keys(variants), default: Object.keys(variants), what: 'variants to run' },
    report: reportFlag,
    json: { type: 'text', what: 'file to write every single result to' }
  })
  keepReport(flags.report)

  const writeResults = await openResultsFile(flags.json)
  const lines = await resolveLines(flags.node)
  const results = await runAll(flags, lines)
  for (const { line } of lines) {
    for (const members of flags.members) console.log(`\n${title(flags, line, members)}\n${table(results, flags.only, line, members)}`)
  }
  await writeResults({ flags, results })
})

async function runAll ({ rounds, members: sizes, loops, seconds, only }, lines) {
  const results = []
  const total = rounds * lines.length * sizes.length * only.length
  const settle = seconds * 1000 / (2 * restarts + 1)

  for (let round = 0; round < rounds; round++) {
    for (const { line, path } of lines) {
      for (const members of sizes) {
        for (const variant of rotate(only, round)) {
          const result = await rollingRestart({ variant: `reuse-port/${variant}`, node: path, members, loops, restarts, settle, killAfter })
          results.push({ round, line, ...result, variant })
          console.log(`[${results.length}/${total}] Node ${line}, ${members} members, ${progress(results.at(-1))}`)
        }
      }
    }
  }
  return results
}

function progress ({ variant, connections, refused, reset, empty, other, others, shares, exits, stderr }) {
  const what = other > 0 ? ` (${Object.entries(others).map(([error, times]) => `${times} x ${error}`).join(', ')})` : ''
  const line = `${variants[variant]}: ${connections} connections, ${refused} refused, ${reset} reset, ${empty} empty, ${other} other${what}, ` +
    `shares ${smallest(shares)} to ${largest(shares)}, exit ${exits.map(({ ms, code, signal, killed }) => killed ? 'killed' : `${ms} ms (${signal ?? code})`).join(', ')}`
  return [line, ...stderr].join('\n')
}

function title ({ rounds, loops }, line, members) {
  return `Node ${line}, a group of ${members}, ${loops} loops of new connections, ${restarts} restarts in each of ${rounds} round(s): median / worst`
}

function table (results, only, line, members) {
  const table = new Table({
    head: ['server', 'connections', 'refused', 'reset', 'empty', 'other', 'smallest share', 'largest share', 'exit, ms'],
    colAligns: ['left', ...Array(8).fill('right')],
    style: { head: [], border: [] }
  })
  for (const variant of only) {
    const rounds = results.filter(result => result.variant === variant && result.line === line && result.members === members)
    table.push([
      variants[variant],
      median(rounds.map(result => result.connections)),
      ...['refused', 'reset', 'empty', 'other'].map(what => medianAndWorst(rounds.map(result => result[what]))),
      Math.min(...rounds.map(({ shares }) => smallest(shares))).toFixed(2),
      Math.max(...rounds.map(({ shares }) => largest(shares))).toFixed(2),
      medianAndWorst(rounds.flatMap(result => result.exits.map(exit => exit.ms)))
    ])
  }
  return table.toString()
}

function smallest (shares) {
  return Math.min(...shares.flat()).toFixed(2)
}

function largest (shares) {
  return Math.max(...shares.flat()).toFixed(2)
}

function medianAndWorst (values) {
  return `${median(values)} / ${Math.max(...values)}`
}
