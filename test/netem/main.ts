// Drains over slow and broken networks: `npm run netem -- --rounds 5`, `--clients 25`, `--idle-grace 1000`, `--size 70000`, `--seed 1234`.
import { parseArgs } from 'node:util'
import { missingForBadNetwork } from '../helpers/bad-network.ts'
import { missingForCapture } from '../helpers/capture.ts'
import { protocols } from './apps.ts'
import type { Row } from './result.ts'
import { runScenarios } from './scenarios.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    clients: { type: 'string', default: '25' },
    'idle-grace': { type: 'string', default: '1000' },
    size: { type: 'string', default: '70000' },
    seed: { type: 'string' }
  }
})
const [rounds, clients, idleGrace, size] = [Number(values.rounds), Number(values.clients), Number(values['idle-grace']), Number(values.size)]
if (!(rounds >= 1) || !(clients >= 1) || !(idleGrace > 0) || !(size >= 50_000)) throw new Error('--rounds, --clients and --idle-grace take numbers above 0, --size at least 50000 bytes')
const missing = missingForBadNetwork() || missingForCapture()
if (missing !== false) throw new Error(missing)

const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 24) : Number(values.seed)
console.log(`Node ${process.version}, ${rounds} rounds, seeds from ${first}, ${clients} clients far away for each protocol, idleGrace ${idleGrace} ms, ${size} bytes at 56 kbit/s`)
const rows: Row[] = []
for (let round = 0; round < rounds; round++) {
  const began = performance.now()
  const ends: Array<() => unknown> = []
  try {
    const outcomes = await runScenarios({ teardown: end => { ends.unshift(end) } }, { clients, idleGrace, size, heavy: true, seed: first + round })
    rows.push(...outcomes.rows)
    console.log(`[${round + 1}/${rounds}] seed ${first + round}, ${Math.round((performance.now() - began) / 1000)} s`)
    for (const { scenario, protocol, wrong, notes } of outcomes.rows) {
      for (const text of wrong) console.log(`  NOT OK ${scenario}, ${protocol}: ${text}`)
      for (const note of notes) console.log(`  ${scenario}, ${protocol}: ${note}`)
    }
  } finally {
    for (const end of ends) await end()
  }
}

console.log(`\n| scenario | ${protocols.join(' | ')} | refused | executed, not answered | cut | longest exit | deadline |`)
console.log(`| --- | ${protocols.map(() => '---').join(' | ')} | ---: | ---: | ---: | ---: | ---: |`)
for (const scenario of new Set(rows.map(({ scenario }) => scenario))) console.log(inWords(rows.filter(row => row.scenario === scenario)))
console.log('\nOf each protocol: requests lost, of how many, and how many may be lost on the average. Times in ms.')
const wrong = rows.flatMap(row => row.wrong)
console.log(`${wrong.length} went wrong`)
process.exit(wrong.length > 0 ? 1 : 0)

function inWords (same: Row[]): string {
  const cells = [
    same[0]!.scenario,
    ...protocols.map(name => {
      const own = same.filter(({ protocol }) => protocol === name)
      const bound = own.some(row => row.bound !== null) ? sum(own, row => row.bound ?? 0).toFixed(1) : 0
      return `${sum(own, row => row.lost)} of ${sum(own, row => row.requests)}, ${bound}`
    }),
    sum(same, row => row.refused),
    sum(same, row => row.unanswered),
    sum(same, row => row.cut),
    Math.max(...same.map(row => row.ms)),
    same[0]!.hardStopAfter
  ]
  return `| ${cells.join(' | ')} |`
}

function sum (rows: Row[], of: (row: Row) => number): number {
  return rows.reduce((total, row) => total + of(row), 0)
}
