// Random sequences against the server: `npm run fuzz -- --sequences 10000`. `--seed N` looks at one of them, `--replay FILE` at one in a file.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Coverage } from './coverage.ts'
import { runMany } from './many.ts'
import { again, shrink } from './shrink.ts'
import { sequenceOf, type Sequence } from './sequence.ts'

const { values } = parseArgs({
  options: {
    sequences: { type: 'string', default: '1000' },
    from: { type: 'string' },
    seed: { type: 'string' },
    replay: { type: 'string' },
    runs: { type: 'string', default: '10' },
    at: { type: 'string', default: '8' },
    'shrink-seconds': { type: 'string', default: '120' }
  }
})
const [count, atOnce, runs, seconds] = [values.sequences, values.at, values.runs, values['shrink-seconds']].map(Number) as [number, number, number, number]
if (!(count >= 1) || !(atOnce >= 1) || !(runs >= 1) || !(seconds >= 0)) throw new Error('--sequences, --at and --runs take a number above 0, --shrink-seconds one from 0')

// At most so many are made small, the first ones.
const shrinkAtMost = 5

let uncaught = 0
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, error => {
    uncaught++
    console.error('\nNobody caught this:', error)
  })
}

const isOk = values.replay !== undefined
  ? await look(JSON.parse(readFileSync(values.replay, 'utf8')))
  : values.seed !== undefined ? await look(sequenceOf(Number(values.seed))) : await runAll(Number(values.from ?? Math.floor(Math.random() * 2 ** 28)))
process.exit(isOk && uncaught === 0 ? 0 : 1)

async function runAll (from: number): Promise<boolean> {
  const coverage = new Coverage()
  const failed: Array<{ seed: number, sequence: Sequence, wrong: string[] }> = []
  const began = performance.now()
  let [done, executed, operations] = [0, 0, 0]
  console.log(`Node ${process.version}: ${count} sequences, seeds from ${from}, ${atOnce} at once`)
  const progress = setInterval(() => console.log(text()), 10_000)
  await runMany({
    from,
    count,
    atOnce,
    coverage,
    onDone (seed, sequence, result) {
      done++
      executed += result.executed
      operations += result.done.length
      if (result.wrong.length === 0) return
      failed.push({ seed, sequence, wrong: result.wrong })
      console.log(`seed ${seed} (${sequence.server}): ${result.wrong.join('; ')}`)
    }
  })
  clearInterval(progress)
  console.log(text())
  console.log(coverage.text())
  for (const { seed, sequence } of failed.slice(0, shrinkAtMost)) {
    console.log(`\nseed ${seed}:`)
    await tellShrunk(sequence)
  }
  for (const { seed } of failed) console.log(`To look at it again: npm run fuzz -- --seed ${seed}`)
  return failed.length === 0

  function text (): string {
    const rate = done / (performance.now() - began) * 1000
    return `[${done}/${count}] ${failed.length} went wrong; ${operations} operations, ${executed} requests executed; ${rate.toFixed(1)} per second, ${Math.ceil((count - done) / rate)} s left`
  }
}

/** Runs one sequence several times, and makes it small if it goes wrong. */
async function look (sequence: Sequence): Promise<boolean> {
  const { failed, wrong } = await again(sequence, runs)
  console.log(`${sequence.operations.length} operations; went wrong in ${failed} of ${runs} runs`)
  for (const text of wrong) console.log(text)
  if (failed > 0) await tellShrunk(sequence)
  return failed === 0
}

async function tellShrunk (sequence: Sequence): Promise<void> {
  const small = await shrink(sequence, seconds)
  console.log(`${small.sequence.operations.length} operations are left of ${sequence.operations.length}; it goes wrong in ${small.failed} of ${small.runs} runs. Put this into a file for npm run fuzz -- --replay FILE:`)
  console.log(JSON.stringify(small.sequence))
  for (const text of small.wrong) console.log(text)
}
