import { availableParallelism, loadavg } from 'node:os'

import { protocols } from './lib/app.js'
import { measurePair } from './lib/cpu-pair.js'
import { readFlags } from './lib/flags.js'
import { measureHeap } from './lib/heap-per-connection.js'
import { startLoadProcess } from './lib/load-process.js'
import { run } from './lib/main.js'
import { openResultsFile } from './lib/results-file.js'
import { bootstrapMedian, median, quantile } from './lib/stats.js'

await run(async () => {
  const flags = readFlags('What the plugin costs while nothing is being shut down: server CPU per request and heap per idle connection.', {
    server: { type: 'names', allowed: protocols, default: ['http'], what: 'protocols, one after the other' },
    pairs: { type: 'number', min: 0, max: 1000, default: 40, what: 'pairs of servers, without and with the plugin; 0: the heap only' },
    together: { type: 'boolean', default: false, what: 'both servers of a pair in one process: what the plugin does, without what it costs to have loaded it' },
    requests: { type: 'number', min: 2, max: 1_000_000, default: 30_000, what: 'measured requests to each server of a pair' },
    rounds: { type: 'number', min: 0, max: 100, default: 5, what: 'rounds of the heap measurement' },
    connections: { type: 'number', min: 1, max: 10_000, default: 2000, what: 'idle connections in the heap measurement' },
    against: { type: 'name', allowed: ['fastify-drain', 'bare', 'other-code'], default: 'fastify-drain', what: "what bare Fastify is compared with; 'bare' shows the noise of this machine, 'other-code' the price of any code that is loaded" },
    metrics: { type: 'boolean', default: false, what: 'the plugin has its metrics for Prometheus on' },
    json: { type: 'text', what: 'file to write every single result to' }
  })

  if (flags.metrics && flags.against !== 'fastify-drain') throw new Error('--metrics is about the plugin: leave --against out')
  const variants = ['bare', flags.metrics ? 'prometheus' : flags.against]
  const writeResults = await openResultsFile(flags.json)
  warnIfBusy()
  const load = startLoadProcess()
  try {
    const results = []
    for (const protocol of flags.server) {
      if (flags.server.length > 1) console.log(`${results.length > 0 ? '\n' : ''}${protocol}`)
      const cpu = await measureCpu(variants, { ...flags, protocol, load })
      const heap = await measureHeaps(variants, { ...flags, protocol, load })
      results.push({ protocol, cpu, heap })
    }
    await writeResults({ flags, variants, results })
  } finally {
    load.end()
  }
})

function warnIfBusy () {
  const [load] = loadavg()
  const processors = availableParallelism()
  if (load > processors / 2) {
    console.log(`The load average is ${load.toFixed(1)} on ${processors} processors: other work will widen the spread.\n`)
  }
}

async function measureCpu ([without, withPlugin], { pairs, requests, protocol, load, together }) {
  if (pairs === 0) return null
  console.log(`Server CPU per request, ${requests} requests to each server of a pair${together ? ', both in one process' : ''}: ${without}, ${withPlugin}`)
  const results = []
  for (let i = 0; i < pairs; i++) {
    const result = await measureOne(without, withPlugin, { requests, protocol, load, together }, i % 2 === 1)
    results.push(result)
    console.log(`[${i + 1}/${pairs}] ${result.bare.toFixed(2)} us, ${result.plugin.toFixed(2)} us, ${percent(result.ratio)}`)
  }

  const ratios = results.map(result => result.ratio)
  const summary = {
    bare: median(results.map(result => result.bare)),
    plugin: median(results.map(result => result.plugin)),
    ratio: median(ratios),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    interval: bootstrapMedian(ratios)
  }
  console.log(`\nCPU per request: ${summary.bare.toFixed(2)} us without, ${summary.plugin.toFixed(2)} us with (medians)`)
  console.log(`Median of the pairs: ${percent(summary.ratio)}, quartiles ${summary.quartiles.map(percent).join(' to ')}, ` +
    `95 % interval of the median ${summary.interval.map(percent).join(' to ')}\n`)
  return { ...summary, pairs: results }
}

// In every other pair the plugin's server is the first.
async function measureOne (without, withPlugin, options, swapped) {
  const { first, second, ratio } = await measurePair(swapped ? [withPlugin, without] : [without, withPlugin], options)
  return swapped ? { bare: second, plugin: first, ratio: 1 / ratio } : { bare: first, plugin: second, ratio }
}

async function measureHeaps ([without, withPlugin], { rounds, ...options }) {
  if (rounds === 0) return null
  const results = []
  for (let i = 0; i < rounds; i++) {
    const bare = await measureHeap(without, options)
    const plugin = await measureHeap(withPlugin, options)
    results.push({ bare, plugin, difference: plugin - bare })
    console.log(`[${i + 1}/${rounds}] heap per idle connection: ${bare.toFixed(0)} bytes, ${plugin.toFixed(0)} bytes`)
  }

  const difference = median(results.map(result => result.difference))
  console.log(`\nHeap per idle connection, ${options.connections} connections: ${median(results.map(result => result.bare)).toFixed(0)} bytes without, ` +
    `${median(results.map(result => result.plugin)).toFixed(0)} bytes with; median of the differences ${difference.toFixed(0)} bytes`)
  return { difference, rounds: results }
}

function percent (ratio) {
  const value = (ratio - 1) * 100
  return `${value < 0 ? '' : '+'}${value.toFixed(2)} %`
}
