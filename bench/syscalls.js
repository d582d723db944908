import Table from 'cli-table3'

import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { openResultsFile } from './lib/results-file.js'
import { checkStrace, countCalls, kinds, listenerCalls } from './lib/trace.js'

const variants = ['bare', 'fastify-drain']

// Of the JIT compiler, the garbage collector and the threads among themselves: they differ from run to run.
const ofTheEngine = new Set(['futex', 'madvise', 'mmap', 'mprotect', 'munmap', 'brk', 'sched_yield', 'getpid', 'gettid', 'rt_sigprocmask', 'clock_gettime', 'getrusage', 'membarrier'])

await run(async () => {
  const flags = readFlags('System calls of a server for each connection, without and with the plugin, counted by strace.', {
    connections: { type: 'number', min: 10, max: 100_000, default: 500, what: 'N: runs with N and with 3 N connections are compared' },
    json: { type: 'text', what: 'file to write every single result to' }
  })
  await checkStrace()
  const writeResults = await openResultsFile(flags.json)

  const results = []
  for (const kind of Object.keys(kinds)) {
    for (const variant of variants) {
      const calls = await perConnection(variant, kind, flags.connections)
      results.push({ kind, variant, calls })
      console.log(`[${results.length}/${variants.length * Object.keys(kinds).length}] ${kind}, ${variant}: ${total(calls).toFixed(2)} calls for each connection`)
    }
  }
  for (const kind of Object.keys(kinds)) console.log(`\n${kind}: calls for each connection\n${table(results.filter(result => result.kind === kind))}`)

  const listeners = {}
  for (const variant of variants) {
    listeners[variant] = await listenerCalls(variant)
    console.log(`\n${variant}: calls for the listener\n${listeners[variant].map(line => `  ${line}`).join('\n')}`)
  }
  await writeResults({ flags, results, listeners })
})

/** What the start, the end, and everything else that happens once costs is in both runs, and drops out. */
async function perConnection (variant, kind, connections) {
  const few = await countCalls(variant, connections, kind)
  const many = await countCalls(variant, 3 * connections, kind)
  const names = [...new Set([...Object.keys(few), ...Object.keys(many)])].filter(name => !ofTheEngine.has(name))
  return Object.fromEntries(names.map(name => [name, ((many[name] ?? 0) - (few[name] ?? 0)) / (2 * connections)]))
}

function total (calls) {
  return Object.values(calls).reduce((sum, n) => sum + n, 0)
}

function table (results) {
  const [bare, plugin] = results.map(({ calls }) => calls)
  const table = new Table({ head: ['call', ...variants, 'difference'], colAligns: ['left', 'right', 'right', 'right'], style: { head: [], border: [] } })
  const row = (name, without, withPlugin) => [name, without.toFixed(2), withPlugin.toFixed(2), signed(withPlugin - without)]
  const names = [...new Set([...Object.keys(bare), ...Object.keys(plugin)])].sort()
  for (const name of names) {
    const [without, withPlugin] = [bare[name] ?? 0, plugin[name] ?? 0]
    // Timers and what happens now and then.
    if (Math.max(without, withPlugin) >= 0.05) table.push(row(name, without, withPlugin))
  }
  table.push(row('all', total(bare), total(plugin)))
  return table.toString()
}

function signed (number) {
  const text = number.toFixed(2)
  return /^-?0\.00$/.test(text) ? '0.00' : number > 0 ? `+${text}` : text
}
