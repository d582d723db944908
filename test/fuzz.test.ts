import t from 'tap'
import { fuzzRun } from './helpers/fuzz-run.ts'

// Random clients, polite and rude, against a drain that begins at a random moment, on four servers in turn.
// `npm run fuzz` goes on where this ends; `npm run fuzz -- --seed 1234` looks at one run again.
const firstSeed = 1
const runs = 120
const atOnce = 6

t.test(`no request is executed but unanswered in ${runs} random drains (seeds from ${firstSeed})`, { timeout: 600_000 }, async t => {
  let next = firstSeed
  const worker = async (): Promise<void> => {
    while (next < firstSeed + runs) {
      const seed = next++
      const { wrong } = await fuzzRun(seed)
      t.same(wrong, [], `seed ${seed}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
})
