import Table from 'cli-table3'

import { passDescriptors } from './lib/descriptor-passing.js'
import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { openResultsFile } from './lib/results-file.js'
import { rotate } from './lib/rotate.js'
import { median } from './lib/stats.js'

await run(async () => {
  const flags = readFlags('How fast Node itself passes idle connections from one process to another: the limit of every handover.', {
    connections: { type: 'numbers', min: 1, max: 10_000, default: [300, 2000], what: 'connections; one series each' },
    windows: { type: 'numbers', min: 0, max: 10_000, default: [4, 16, 0], what: 'connections that are under way at a time; 0: all' },
    rounds: { type: 'number', min: 1, max: 100, default: 3, what: 'rounds, the windows in turn in each' },
    json: { type: 'text', what: 'file to write every single result to' }
  })
  const writeResults = await openResultsFile(flags.json)
  const results = []
  const total = flags.rounds * flags.connections.length * flags.windows.length
  for (let round = 0; round < flags.rounds; round++) {
    for (const connections of flags.connections) {
      for (const window of rotate(flags.windows, round)) {
        const ms = await passDescriptors({ connections, window: window === 0 ? null : window })
        results.push({ round, connections, window, ms, perSecond: connections / ms * 1000 })
        console.log(`[${results.length}/${total}] ${connections} connections, ${name(window)}: ${Math.round(ms)} ms, ${Math.round(connections / ms * 1000)} a second`)
      }
    }
  }
  console.log(`\nConnections passed per second: median / worst\n${table(results, flags)}`)
  await writeResults({ flags, results })
})

function name (window) {
  return window === 0 ? 'all at once' : `${window} at a time`
}

function table (results, { connections: sizes, windows }) {
  const table = new Table({
    head: ['connections', ...windows.map(name)],
    colAligns: Array(windows.length + 1).fill('right'),
    style: { head: [], border: [] }
  })
  for (const connections of sizes) {
    table.push([connections, ...windows.map(window => {
      const rates = results.filter(result => result.connections === connections && result.window === window).map(({ perSecond }) => perSecond)
      return `${Math.round(median(rates))} / ${Math.round(Math.min(...rates))}`
    })])
  }
  return table.toString()
}
