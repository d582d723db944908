import { availableParallelism, loadavg } from 'node:os'

import Table from 'cli-table3'

import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { openResultsFile } from './lib/results-file.js'
import { closeIdle, closeInLoop, openFilesLimit } from './lib/scale-run.js'
import { misses } from './lib/scale-targets.js'
import { median } from './lib/stats.js'

const variants = ['bare', 'close-with-grace', 'fastify-graceful-shutdown', 'http-terminator', 'stoppable', 'terminus', 'http-graceful-shutdown', 'fastify-drain']
const plugin = 'fastify-drain'
// The plugin's own default, in ms.
const idleGrace = 1000
// Clients that send one more request before the grace is over.
const asking = 100
// Of the processes that keep the connections, besides those.
const otherFiles = 200

await run(async () => {
  const flags = readFlags('Idle keep-alive connections by the thousand, then SIGTERM: when the last FIN is out, how long the event loop stalls, and what comes down on the replacement.', {
    counts: { type: 'numbers', min: 10, max: 100_000, default: [1000, 5000, 10_000, 18_000], what: 'idle connections; one series each' },
    rounds: { type: 'number', min: 1, max: 100, default: 3, what: 'rounds, the servers in turn in each' },
    spread: { type: 'numbers', min: 0, max: 20_000, default: [0, 5000], what: 'closeSpread of the plugin, ms; one series each' },
    only: { type: 'names', allowed: variants, default: ['bare', plugin], what: `servers to run, of ${variants.join(', ')}` },
    'kill-after': { type: 'number', min: 100, max: 120_000, default: 30_000, what: 'time a server may take to exit, ms' },
    json: { type: 'text', what: 'file to write every single result to' }
  })

  const limit = await openFilesLimit()
  const counts = flags.counts.filter(count => count + otherFiles <= limit)
  if (counts.length < flags.counts.length) console.log(`A process can have ${limit} files open here (ulimit -Hn): left out are ${flags.counts.filter(count => !counts.includes(count)).join(', ')}.\n`)
  const writeResults = await openResultsFile(flags.json)
  warnIfBusy()

  const results = await runAll({ ...flags, counts })
  for (const count of counts) console.log(`\n${count} idle connections, ${flags.rounds} round(s): median / worst\n${table(results.filter(result => result.count === count))}`)
  console.log(`\nFor each connection, medians\n${growth(results)}`)
  const missed = misses(results, { plugin, idleGrace })
  console.log(missed.length === 0 ? '\nAll targets are met.' : `\nMissed:\n${missed.map(text => `- ${text}`).join('\n')}`)
  if (missed.length > 0) process.exitCode = 1
  await writeResults({ flags, loadAverage: loadavg(), missed, results })
})

function warnIfBusy () {
  const [load] = loadavg()
  const processors = availableParallelism()
  if (load > processors / 2) console.log(`The load average is ${load.toFixed(1)} on ${processors} processors: every wait will be longer.\n`)
}

async function runAll ({ counts, rounds, spread: spreads, only, 'kill-after': killAfter }) {
  const results = []
  const series = only.flatMap(variant => (variant === plugin ? spreads : [0]).map(spread => ({ variant, spread })))
  const total = rounds * counts.length * series.length
  for (let round = 0; round < rounds; round++) {
    for (const count of counts) {
      // The same for all: what the machine needs for so many closes at this time.
      const loop = await closeInLoop({ how: 'end', perTurn: 'all', count, killAfter })
      const batches = await closeInLoop({ how: 'end', perTurn: 64, count, killAfter })
      for (const { variant, spread } of rotate(series, round)) {
        const result = { variant, count, spread, round, ...await measure({ variant, spread, count, killAfter }), ...bare(loop, batches) }
        results.push(result)
        console.log(`[${results.length}/${total}] ${progress(result)}`)
      }
    }
  }
  return results
}

function bare (loop, batches) {
  return { bareLoopMs: loop.closeMs, bareLoopCpuMs: loop.closeCpuMs, bareBatchesMs: batches.closeMs, bareBatchesCpuMs: batches.closeCpuMs }
}

/** Twice, because clients that come back take the processors away from the server that closes, and from its successor. */
async function measure ({ variant, spread, count, killAfter }) {
  const grace = variant === plugin ? idleGrace : 0
  const options = { variant, count, grace, killAfter, options: variant === plugin ? { idleGrace, closeSpread: spread } : {} }
  // A spread is about the crowd alone.
  const alone = spread === 0 ? await closeIdle({ ...options, heap: true }) : null
  const crowd = await closeIdle({ ...options, returns: true, asking })
  const own = alone ?? crowd
  return {
    lastFinMs: own.lastFinMs,
    lastFinAfterGraceMs: own.lastFinMs === null ? null : Math.max(0, own.lastFinMs - grace),
    stallMs: own.stallMs,
    stallCpuMs: own.stallCpuMs,
    bytesPerConnection: alone?.bytesPerConnection ?? null,
    timeWait: own.timeWait,
    closeMs: alone?.closeMs ?? null,
    closeCpuMs: alone?.closeCpuMs ?? null,
    peakNewPerSecond: crowd.peakNewPerSecond,
    peakNewPer100Ms: crowd.peakNewPer100Ms,
    exitMs: own.exitMs,
    asked: crowd.asked,
    lost: crowd.lost,
    left: own.left + crowd.left,
    crowd: { lastFinMs: crowd.lastFinMs, stallMs: crowd.stallMs, stallCpuMs: crowd.stallCpuMs, timeWait: crowd.timeWait, exitMs: crowd.exitMs, back: crowd.back, errors: crowd.errors },
    exits: [alone, crowd].filter(Boolean).map(({ exit }) => exit),
    stderr: [alone, crowd].filter(Boolean).flatMap(({ stderr }) => stderr)
  }
}

// Whoever comes first in one round does not come first in the next.
function rotate (list, by) {
  const at = by % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}

function name ({ variant, spread }) {
  return variant === plugin && spread > 0 ? `${variant}, closeSpread ${spread}` : variant
}

function progress (result) {
  const { count, lastFinMs, stallMs, closeMs, bareLoopMs, peakNewPerSecond, lost, asked, exitMs, stderr } = result
  const closes = closeMs === null ? '' : `, closed in ${closeMs} ms (bare loop ${bareLoopMs} ms)`
  const line = `${name(result)}, ${count}: last FIN after ${lastFinMs ?? '?'} ms, stall ${stallMs ?? '?'} ms${closes}, ` +
    `peak ${peakNewPerSecond} new/s, ${lost} of ${asked} lost, exit ${exitMs} ms`
  return [line, ...stderr].join('\n')
}

function table (results) {
  const table = new Table({
    head: ['server', 'last FIN, ms', 'stall, ms', 'stall, CPU ms', 'closes, ms', 'bare loop, ms', 'bare, 64 a turn', 'bytes', 'peak new/s', 'peak new/100 ms', 'TIME_WAIT', 'lost', 'exit, ms'],
    colAligns: ['left', ...Array(12).fill('right')],
    style: { head: [], border: [] }
  })
  for (const rounds of bySeries(results)) {
    const cell = of => medianAndWorst(rounds.map(of))
    table.push([
      name(rounds[0]),
      cell(({ lastFinMs }) => lastFinMs), cell(({ stallMs }) => stallMs), cell(({ stallCpuMs }) => stallCpuMs),
      cell(({ closeMs }) => closeMs), cell(({ bareLoopMs }) => bareLoopMs), cell(({ bareBatchesMs }) => bareBatchesMs),
      cell(({ bytesPerConnection }) => bytesPerConnection), cell(({ peakNewPerSecond }) => peakNewPerSecond),
      cell(({ peakNewPer100Ms }) => peakNewPer100Ms), cell(({ timeWait }) => timeWait), cell(({ lost }) => lost), cell(({ exitMs }) => exitMs)
    ])
  }
  return table.toString()
}

// Linear growth: the same in each line of a server.
function growth (results) {
  const table = new Table({
    head: ['server', 'connections', 'stall, us', 'closes, us', 'closes, CPU us', 'bare loop, us', 'bare loop, CPU us', 'bytes'],
    colAligns: ['left', ...Array(7).fill('right')],
    style: { head: [], border: [] }
  })
  for (const rounds of bySeries(results.filter(({ closeMs }) => closeMs !== null)).sort(([a], [b]) => a.variant.localeCompare(b.variant) || a.count - b.count)) {
    const [{ count }] = rounds
    const each = of => {
      const values = rounds.map(of).filter(value => value !== null)
      return values.length === 0 ? '-' : (median(values) * 1000 / count).toFixed(1)
    }
    table.push([
      name(rounds[0]), count,
      each(({ stallMs }) => stallMs), each(({ closeMs }) => closeMs), each(({ closeCpuMs }) => closeCpuMs),
      each(({ bareLoopMs }) => bareLoopMs), each(({ bareLoopCpuMs }) => bareLoopCpuMs),
      Math.round(median(rounds.map(({ bytesPerConnection }) => bytesPerConnection)))
    ])
  }
  return table.toString()
}

function bySeries (results) {
  const series = new Map()
  for (const result of results) series.set(keyOf(result), [...series.get(keyOf(result)) ?? [], result])
  return [...series.values()]
}

function keyOf ({ variant, count, spread }) {
  return `${variant} ${count} ${spread}`
}

function medianAndWorst (all) {
  const values = all.filter(value => value !== null)
  return values.length === 0 ? '-' : `${Math.round(median(values))} / ${Math.round(Math.max(...values))}`
}
