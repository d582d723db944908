import { loadavg } from 'node:os'

import Table from 'cli-table3'

import { nodeVersions } from '../scripts/toolchain.js'
import { readFlags } from './lib/flags.js'
import { handOverAgainAndAgain } from './lib/handover-repeat.js'
import { addedBy, pooled, verdict } from './lib/handover-results.js'
import { restartUnderLoad, ways } from './lib/handover-restart.js'
import { bars, histogram } from './lib/histogram.js'
import { run } from './lib/main.js'
import { resolveLines } from './lib/node-lines.js'
import { keepReport, reportFlag } from './lib/report.js'
import { openResultsFile } from './lib/results-file.js'
import { rotate } from './lib/rotate.js'
import { median } from './lib/stats.js'

// Connections, and the pause of each between two requests, in ms.
const loads = { 300: 200, 2000: 1000 }
const binWidth = 5
const lastBin = 80

await run(async () => {
  const flags = readFlags('A restart by handover, by stopping and starting, and by SO_REUSEPORT, under keep-alive load: what the clients see.', {
    node: { type: 'names', allowed: Object.keys(nodeVersions), default: Object.keys(nodeVersions), what: 'Node lines of the server' },
    connections: { type: 'numbers', min: 1, max: 10_000, default: Object.keys(loads).map(Number), what: 'connections; one series each' },
    think: { type: 'number', min: 1, max: 60_000, what: 'pause between two requests of a connection, ms (default 200, and 1000 from 1,000 connections on)' },
    work: { type: 'number', min: 0, max: 1000, default: 5, what: 'time a request takes in the server, ms' },
    restarts: { type: 'number', min: 1, max: 20, default: 2, what: 'restarts in each run' },
    rounds: { type: 'number', min: 1, max: 100, default: 2, what: 'rounds, the ways in turn in each' },
    only: { type: 'names', allowed: Object.keys(ways), default: Object.keys(ways), what: 'ways to run' },
    repeat: { type: 'number', min: 2, max: 1000, what: 'instead of all that: so many handovers in a row, and what they leave behind' },
    report: reportFlag,
    json: { type: 'text', what: 'file to write every single result to' }
  })
  keepReport(flags.report)

  const writeResults = await openResultsFile(flags.json)
  const lines = await resolveLines(flags.node)
  const results = flags.repeat === undefined ? await compare(flags, lines) : await repeat(flags, lines)
  await writeResults({ flags, results })
})

function thinkOf ({ think }, connections) {
  return think ?? (connections < 1000 ? loads[300] : loads[2000])
}

async function compare (flags, lines) {
  const { rounds, connections: sizes, work, restarts, only } = flags
  const all = []
  const total = rounds * lines.length * sizes.length * only.length

  for (let round = 0; round < rounds; round++) {
    for (const { line, path } of lines) {
      for (const connections of sizes) {
        for (const way of rotate(only, round)) {
          const result = await attempt(() => restartUnderLoad({ way, node: path, connections, think: thinkOf(flags, connections), work, restarts }))
          all.push({ round, line, way, connections, ...result })
          console.log(`[${all.length}/${total}] Node ${line}, ${connections} connections, ${result.error ?? progress(result)}`)
        }
      }
    }
  }

  const results = all.filter(({ error }) => error === undefined)
  for (const connections of sizes) {
    const some = results.filter(result => result.connections === connections)
    console.log(`\n${connections} connections, think ${thinkOf(flags, connections)} ms, requests of ${work} ms, ${restarts} restart(s) in each of ${rounds} round(s): median / worst\n${table(some, lines, only)}`)
    const handovers = some.filter(({ way }) => ways[way].keepsConnections)
    if (handovers.length === 0) continue
    console.log(`\nThe handovers of ${connections} connections; request time, in ms, from "ready" until the old process has gone\n${latencyTable(handovers, lines, connections)}`)
    console.log(`\n${picture(handovers)}`)
  }
  if (results.length < all.length) console.log(`\n${all.length - results.length} run(s) did not come to their end; see above`)
  return all
}

// It runs for minutes with nobody watching: one run that fails shall not cost the others.
async function attempt (fn) {
  try {
    return await fn()
  } catch (error) {
    process.exitCode = 1
    return { error: error.message }
  }
}

function progress ({ way, requests, lost, refused, answered503, reconnects, opened, restarts, load, stderr }) {
  const moved = ways[way].keepsConnections ? `, moved in ${restarts.map(({ moved }) => Math.round(moved)).join(' and ')} ms` : ''
  const codes = restarts.map(({ code }) => code)
  const line = `${ways[way].title}: ${requests} requests, ${lost} lost, ${refused} refused, ${answered503} x 503, ` +
    `${reconnects} reconnects, ${opened} connections opened${moved}, exit ${codes.join(', ')} (load average ${load.toFixed(1)})`
  return [line, ...stderr].join('\n')
}

function table (results, lines, only) {
  const table = new Table({
    head: ['Node', 'restart', 'requests', 'lost', 'refused', '503', 'reconnects', 'opened', 'pids', 'TIME_WAIT', 'longest wait, ms', 'restart, ms', 'load'],
    colAligns: ['left', 'left', ...Array(11).fill('right')],
    style: { head: [], border: [] }
  })
  for (const { line } of lines) {
    for (const way of only) {
      const rounds = results.filter(result => result.way === way && result.line === line)
      if (rounds.length === 0) continue
      table.push([
        line,
        ways[way].title,
        median(rounds.map(({ requests }) => requests)),
        ...['lost', 'refused', 'answered503', 'reconnects', 'opened', 'pids'].map(what => medianAndWorst(rounds.map(result => result[what]))),
        rounds.some(({ timeWait }) => timeWait === null) ? '-' : medianAndWorst(rounds.map(({ timeWait }) => timeWait)),
        medianAndWorst(rounds.map(({ longestWait }) => longestWait)),
        medianAndWorst(rounds.flatMap(({ restarts }) => restarts.map(({ total }) => total))),
        Math.max(...rounds.map(({ load }) => load)).toFixed(1)
      ])
    }
  }
  return table.toString()
}

function latencyTable (handovers, lines, connections) {
  const table = new Table({
    head: ['Node', 'restart', 'requests', 'moved in', 'p99.9', 'control', 'added', 'maximum', 'control', 'added', 'start-up: max', 'late clients: max', 'load', 'targets'],
    colAligns: ['left', 'left', ...Array(11).fill('right'), 'left'],
    style: { head: [], border: [] }
  })
  for (const [line, way] of lines.flatMap(({ line }) => Object.keys(ways).map(way => [line, way]))) {
    const rounds = handovers.filter(result => result.line === line && result.way === way)
    if (rounds.length === 0) continue
    const { requests, p999, max, startUp, lag } = addedBy(rounds)
    const moved = rounds.flatMap(({ restarts }) => restarts.map(({ moved }) => moved))
    table.push([
      line,
      ways[way].title,
      requests,
      medianAndWorst(moved),
      ...[p999, max].flatMap(({ handover, control, added }) => [handover, control, added].map(ms => ms.toFixed(1))),
      startUp.toFixed(1),
      lag.toFixed(1),
      Math.max(...rounds.map(({ load }) => load)).toFixed(1),
      verdict({ connections, p999, max, moved, rounds })
    ])
  }
  return table.toString()
}

function picture (handovers) {
  const { during, beside } = pooled(handovers)
  return `Requests by their time in ms, ${binWidth} ms a line (the last one: and longer), all of these handovers together:\n` + bars(binWidth, [
    { title: 'while connections move', bins: histogram(during, binWidth, lastBin) },
    { title: 'control', bins: histogram(beside, binWidth, lastBin) }
  ])
}

async function repeat (flags, lines) {
  const { connections: [connections], work, repeat: times } = flags
  const results = []
  for (const { line, path } of lines) {
    const think = thinkOf(flags, connections)
    const onStep = (n, { requests, lost, reconnects }, { rss, descriptors, processes }) => {
      console.log(`Node ${line} [${n}/${times}] ${requests} requests, ${lost} lost, ${reconnects} reconnects; ${megabytes(rss)} MB, ` +
        `${descriptors} descriptors, ${processes} process(es) (load average ${loadavg()[0].toFixed(1)})`)
    }
    results.push({ line, ...await handOverAgainAndAgain({ node: path, connections, think, work, times, onStep }) })
  }
  console.log(`\n${times} handovers in a row under the load of ${connections} connections: at the beginning / after the first / at the end\n${remainsTable(results)}`)
  return results
}

function remainsTable (results) {
  const table = new Table({
    head: ['Node', 'requests', 'lost', 'refused', 'reconnects', 'opened', 'exit codes', 'heap, MB', 'RSS, MB', 'descriptors', 'processes', 'moved in, ms', 'longest wait, ms', 'load'],
    colAligns: ['left', ...Array(5).fill('right'), 'left', ...Array(7).fill('right')],
    style: { head: [], border: [] }
  })
  for (const { line, counts, samples, moved, codes, load } of results) {
    const three = (what, text = value => value) => [samples[0], samples[1], samples.at(-1)].map(sample => text(sample[what])).join(' / ')
    table.push([
      line, counts.requests, counts.lost, counts.refused, counts.reconnects, counts.opened, [...new Set(codes)].join(', '),
      three('heap', megabytes), three('rss', megabytes), three('descriptors'), three('processes'),
      medianAndWorst(moved), Math.round(counts.longestWait), load.toFixed(1)
    ])
  }
  return table.toString()
}

function megabytes (bytes) {
  return (bytes / 2 ** 20).toFixed(1)
}

function medianAndWorst (values) {
  return `${Math.round(median(values))} / ${Math.round(Math.max(...values))}`
}
