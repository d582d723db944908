import Table from 'cli-table3'

import { missingProxies } from '../test/interop/proxies/proxy.ts'
import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { keepReport, reportFlag } from './lib/report.js'
import { openResultsFile } from './lib/results-file.js'
import { proxies, rollBehindProxy } from './lib/rolling-proxy.js'
import { rotate } from './lib/rotate.js'
import { median } from './lib/stats.js'

const variants = ['bare', 'fastify-drain']

await run(async () => {
  const flags = readFlags('A rolling restart of the replicas behind a proxy that sends nothing twice, under POST requests: what the clients see.', {
    proxies: { type: 'names', allowed: Object.keys(proxies), default: Object.keys(proxies), what: 'proxies, one after the other' },
    only: { type: 'names', allowed: variants, default: variants, what: 'servers to run' },
    replicas: { type: 'number', min: 2, max: 10, default: 3, what: 'replicas behind the proxy' },
    runs: { type: 'number', min: 1, max: 20, default: 1, what: 'runs, the servers in turn in each' },
    rounds: { type: 'number', min: 1, max: 20, default: 3, what: 'times that every replica is restarted in a run' },
    clients: { type: 'number', min: 1, max: 1000, default: 64, what: 'clients, one keep-alive connection to the proxy each' },
    think: { type: 'number', min: 1, max: 10_000, default: 50, what: 'pause of a client between two requests, ms' },
    work: { type: 'number', min: 0, max: 1000, default: 5, what: 'time a request takes in the server, ms' },
    'check-every': { type: 'number', min: 50, max: 10_000, default: 200, what: 'between two health checks of a replica, ms' },
    'shutdown-delay': { type: 'number', min: 0, max: 60_000, default: 2000, what: 'option shutdownDelay of fastify-drain, ms' },
    'start-up': { type: 'number', min: 0, max: 60_000, default: 500, what: 'time until the replacement of a replica that has gone listens, ms' },
    settle: { type: 'number', min: 100, max: 60_000, default: 1500, what: 'load before the first restart and after each, ms' },
    'kill-after': { type: 'number', min: 100, max: 120_000, default: 15_000, what: 'time a replica may take to exit, ms' },
    report: reportFlag,
    json: { type: 'text', what: 'file to write every single result to' }
  })
  keepReport(flags.report)
  const missing = missingProxies().filter(name => flags.proxies.includes(name))
  if (missing.length > 0) throw new Error(`Not installed: ${missing.join(', ')}. --proxies says which ones to use`)

  const writeResults = await openResultsFile(flags.json)
  const results = await runAll(flags)
  console.log(`\n${title(flags)}\n${table(results)}`)
  await writeResults({ flags, results })
})

async function runAll ({ runs, proxies: names, only, 'check-every': checkEvery, 'shutdown-delay': shutdownDelay, 'start-up': startUp, 'kill-after': killAfter, ...rest }) {
  const results = []
  for (let run = 0; run < runs; run++) {
    for (const proxy of names) {
      for (const variant of rotate(only, run)) {
        results.push({ run, ...await rollBehindProxy({ ...rest, proxy, variant, checkEvery, shutdownDelay, startUp, killAfter }) })
        console.log(`[${results.length}/${runs * names.length * only.length}] ${progress(results.at(-1))}`)
      }
    }
  }
  return results
}

function progress ({ proxy, variant, requests, ok, exits, stderr, ...counts }) {
  const codes = [...new Set(exits.map(({ killed, signal, code }) => killed ? 'killed' : signal ?? code))].join(', ')
  const line = `${proxies[proxy].title}, ${variant}: ${requests} requests, ${requests - ok} not answered 200 (${kinds(counts) || 'none'}), exit ${codes}`
  return [line, ...stderr].join('\n')
}

/** What the clients got in place of the right answer. */
function kinds ({ statuses, errors }) {
  const answers = Object.entries(statuses).filter(([status]) => status !== '200').map(([status, times]) => `${times} x ${status}`)
  const others = Object.entries(errors).filter(([error]) => !error.startsWith('status ')).map(([error, times]) => `${times} x ${error}`)
  return [...answers, ...others].join(', ')
}

function title ({ replicas, rounds, clients, think, work, 'check-every': checkEvery, 'shutdown-delay': shutdownDelay }) {
  return `${replicas} replicas restarted in turn, ${rounds} round(s), ${clients} clients, think ${think} ms, POST of ${work} ms; ` +
    `checks every ${checkEvery} ms, shutdownDelay ${shutdownDelay} ms`
}

function table (results) {
  const table = new Table({
    head: ['proxy', 'server', 'requests', 'not 200', 'no answer', 'what came instead', 'longest wait, ms', 'exit, ms: median / worst', 'exit code'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'left', 'right', 'right', 'left'],
    style: { head: [], border: [] }
  })
  for (const { proxy, variant, requests, statuses, errors, latencyMax, exits } of results) {
    const answers = Object.values(statuses).reduce((sum, times) => sum + times, 0)
    const times = exits.map(({ ms }) => ms)
    table.push([
      proxies[proxy].title,
      variant,
      requests,
      answers - (statuses[200] ?? 0),
      requests - answers,
      kinds({ statuses, errors }),
      Math.round(latencyMax),
      `${Math.round(median(times))} / ${Math.max(...times)}`,
      [...new Set(exits.map(({ killed, signal, code }) => killed ? 'killed' : signal ?? code))].join(', ')
    ])
  }
  return table.toString()
}
