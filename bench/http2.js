import Table from 'cli-table3'

import { nodeVersions } from '../scripts/toolchain.js'
import { readFlags } from './lib/flags.js'
import { restartHttp2 } from './lib/http2-restart.js'
import { run } from './lib/main.js'
import { resolveLines } from './lib/node-lines.js'
import { keepReport, reportFlag } from './lib/report.js'
import { openResultsFile } from './lib/results-file.js'
import { rotate } from './lib/rotate.js'
import { median } from './lib/stats.js'

const variants = { bare: 'Fastify alone', 'close-with-grace': 'close-with-grace', 'fastify-drain': 'fastify-drain' }
const protocols = { h2c: 'h2c', h2: 'secure h2' }
const loaders = 2
const killAfter = 15_000

await run(async () => {
  const flags = readFlags('SIGTERM under busy HTTP/2 sessions: what becomes of every stream.', {
    node: { type: 'names', allowed: Object.keys(nodeVersions), default: ['20'], what: 'Node lines that run the servers' },
    server: { type: 'names', allowed: Object.keys(protocols), default: Object.keys(protocols), what: 'protocols' },
    sessions: { type: 'number', min: 1, max: 5000, default: 100, what: 'sessions of the clients' },
    streams: { type: 'number', min: 1, max: 100, default: 20, what: 'streams that each session keeps open' },
    rounds: { type: 'number', min: 1, max: 100, default: 3, what: 'rounds, the variants in turn in each' },
    settle: { type: 'number', min: 100, max: 60_000, default: 2000, what: 'time under load before SIGTERM and after the exit, ms' },
    only: { type: 'names', allowed: Object.keys(variants), default: Object.keys(variants), what: 'variants to run' },
    report: reportFlag,
    json: { type: 'text', what: 'file to write every single result to' }
  })
  keepReport(flags.report)

  const writeResults = await openResultsFile(flags.json)
  const lines = await resolveLines(flags.node)
  const results = await runAll(flags, lines)
  for (const { line } of lines) {
    for (const protocol of flags.server) console.log(`\n${title(flags, line, protocol)}\n${table(results, flags.only, line, protocol)}`)
  }
  await writeResults({ flags, results })
})

async function runAll ({ rounds, server: names, sessions, streams, settle, only }, lines) {
  const results = []
  const total = rounds * lines.length * names.length * only.length
  for (let round = 0; round < rounds; round++) {
    for (const { line, path } of lines) {
      for (const protocol of names) {
        for (const variant of rotate(only, round)) {
          const result = await restartHttp2({ variant, protocol, node: path, sessions, streams, loaders, settle, killAfter })
          results.push({ round, line, ...result })
          console.log(`[${results.length}/${total}] Node ${line}, ${progress(result)}`)
        }
      }
    }
  }
  return results
}

function progress ({ variant, protocol, executed, unanswered, refused, refusedButExecuted, twice, neverSent, answered503, lost, errors, connectErrors, outlived, timeWait, exit, stderr }) {
  const line = `${protocols[protocol]}, ${variants[variant]}: ${executed} executed, ${unanswered} of them unanswered, ` +
    `${refused} refused (${refusedButExecuted} executed, ${twice} twice), ${neverSent} never sent, ${answered503} x 503, ${lost} lost${inWords(errors)}, ` +
    `sessions outlive their last stream by ${outlived} ms at most, ${timeWait ?? '?'} TIME_WAIT, exit ${exit.killed ? 'killed' : `${exit.ms} ms (${exit.signal ?? exit.code})`}`
  return [line, ...Object.keys(connectErrors).length > 0 ? [`  connecting failed${inWords(connectErrors)}`] : [], ...stderr].join('\n')
}

function inWords (errors) {
  const list = Object.entries(errors).map(([error, times]) => `${times} x ${error}`)
  return list.length === 0 ? '' : ` (${list.join(', ')})`
}

function title ({ rounds, sessions, streams }, line, protocol) {
  return `Node ${line}, ${protocols[protocol]}, ${sessions} sessions of ${streams} streams, one restart in each of ${rounds} round(s): median / worst`
}

function table (results, only, line, protocol) {
  const columns = ['unanswered', 'refused', 'refusedButExecuted', 'neverSent', 'answered503', 'lost', 'outlived']
  const table = new Table({
    head: ['server', 'executed', 'unanswered', 'refused', 'of them executed', 'never sent', '503', 'lost', 'outlived, ms', 'TIME_WAIT', 'exit, ms'],
    colAligns: ['left', ...Array(10).fill('right')],
    style: { head: [], border: [] }
  })
  for (const variant of only) {
    const rounds = results.filter(result => result.variant === variant && result.line === line && result.protocol === protocol)
    table.push([
      variants[variant],
      median(rounds.map(({ executed }) => executed)),
      ...columns.map(name => medianAndWorst(rounds.map(result => result[name]))),
      rounds.some(({ timeWait }) => timeWait === null) ? '-' : medianAndWorst(rounds.map(({ timeWait }) => timeWait)),
      medianAndWorst(rounds.map(({ exit }) => exit.ms))
    ])
  }
  return table.toString()
}

function medianAndWorst (values) {
  return `${median(values)} / ${Math.max(...values)}`
}
