import Table from 'cli-table3'

import { protocols } from './lib/app.js'
import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { openResultsFile } from './lib/results-file.js'
import { rotate } from './lib/rotate.js'
import { largestShare, rotateUnderLoad } from './lib/rotation-run.js'
import { median } from './lib/stats.js'

// The largest share after one age period shall be below this multiple of the fair one.
const limit = 2

await run(async () => {
  const flags = readFlags('Long-lived clients on a few replicas, and others that join: how maxConnectionAge spreads them, and what it loses.', {
    server: { type: 'names', allowed: protocols, default: protocols, what: 'protocols; one series each' },
    age: { type: 'number', min: 1000, max: 3_600_000, default: 20_000, what: 'maxConnectionAge, ms' },
    periods: { type: 'number', min: 2, max: 20, default: 2, what: 'how many times as long each run takes' },
    replicas: { type: 'number', min: 2, max: 100, default: 10, what: 'replicas in the end' },
    first: { type: 'number', min: 1, max: 99, default: 2, what: 'replicas at the beginning, which have all the clients' },
    processes: { type: 'number', min: 1, max: 16, default: 2, what: 'processes for the replicas' },
    clients: { type: 'number', min: 1, max: 10_000, default: 200, what: 'clients, one connection each' },
    arrival: { type: 'number', min: 0, max: 3_600_000, what: 'over how long the clients come, ms (default the age): those of a service that runs are of all ages' },
    think: { type: 'number', min: 1, max: 60_000, default: 200, what: 'pause between two requests of a client, on average, ms' },
    rounds: { type: 'number', min: 1, max: 100, default: 1, what: 'rounds' },
    off: { type: 'boolean', what: 'each protocol without maxConnectionAge, too' },
    json: { type: 'text', what: 'file to write every single result to' }
  })
  if (flags.first >= flags.replicas) throw new Error(`--first must be less than --replicas, ${flags.replicas}`)

  flags.arrival ??= flags.age

  const writeResults = await openResultsFile(flags.json)
  const ways = flags.server.flatMap(protocol => (flags.off ? [false, flags.age] : [flags.age]).map(maxConnectionAge => ({ protocol, maxConnectionAge })))
  const results = await runAll(flags, ways)
  console.log(`\n${flags.clients} clients, ${flags.first} and then ${flags.replicas} replicas, age ${flags.age} ms, ${flags.rounds} round(s): median / worst\n${table(results, ways, flags)}`)
  console.log(`\nLargest share after one age period below ${limit} times the fair one, and nothing lost: ${verdict(results, flags)}`)
  await writeResults({ flags, results })
})

async function runAll ({ server, off, json, rounds, ...options }, ways) {
  const results = []
  for (let round = 0; round < rounds; round++) {
    for (const way of rotate(ways, round)) {
      const result = await rotateUnderLoad({ ...options, ...way })
      results.push({ round, ...result })
      console.log(`[${results.length}/${rounds * ways.length}] ${progress(result, options)}`)
    }
  }
  return results
}

function name ({ protocol, maxConnectionAge }) {
  return maxConnectionAge === false ? `${protocol}, no age` : protocol
}

function progress (result, { age, periods }) {
  const { requests, lost, refused, connections, errors, load } = result
  const shares = Array.from({ length: periods + 1 }, (_, i) => shareAt(result, i * age).toFixed(2))
  const why = lost === 0 ? '' : ` ${JSON.stringify(errors)}`
  return `${name(result)}: ${requests} requests, ${lost} lost${why}, ${refused} refused, ${connections} connections; largest share, as a multiple of the fair one, ` +
    `period by period: ${shares.join(', ')} (load average ${load.toFixed(1)})`
}

// Connections are told at 90 to 110 % of the age, and go with the next answer.
function shareAt ({ samples }, ms) {
  const distance = ({ at }) => Math.abs(at - ms)
  return largestShare(samples.reduce((best, sample) => distance(sample) < distance(best) ? sample : best).counts)
}

function table (results, ways, { age, periods }) {
  const moments = [0, 0.9, 1, 1.1, ...Array.from({ length: periods - 1 }, (_, i) => i + 2)].filter(n => n <= periods)
  const table = new Table({
    head: ['server', 'requests', 'lost', '503', 'refused', 'never sent', 'connections', 'longest wait, ms', ...moments.map(n => `largest share at ${n} age`)],
    colAligns: ['left', ...Array(7 + moments.length).fill('right')],
    style: { head: [], border: [] }
  })
  for (const way of ways) {
    const rounds = resultsOf(results, way)
    table.push([
      name(way),
      Math.round(median(rounds.map(({ requests }) => requests))),
      ...['lost', 'answered503', 'refused', 'neverSent', 'connections', 'latencyMax'].map(what => medianAndWorst(rounds.map(result => result[what]), 0)),
      ...moments.map(n => medianAndWorst(rounds.map(result => shareAt(result, n * age)), 2))
    ])
  }
  return table.toString()
}

function resultsOf (results, { protocol, maxConnectionAge }) {
  return results.filter(result => result.protocol === protocol && result.maxConnectionAge === maxConnectionAge)
}

function verdict (results, { age }) {
  const aged = results.filter(({ maxConnectionAge }) => maxConnectionAge !== false)
  const isGood = aged.every(result => result.lost === 0 && result.answered503 === 0 && shareAt(result, age) < limit)
  if (!isGood) process.exitCode = 1
  return isGood ? 'yes' : 'no'
}

function medianAndWorst (values, digits) {
  return `${median(values).toFixed(digits)} / ${Math.max(...values).toFixed(digits)}`
}
