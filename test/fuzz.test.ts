import t from 'tap'
import { runMany } from './fuzz/many.ts'

// Random sequences of what clients do, with a drain among them, against a model of the states of their connections.
// `npm run fuzz` goes on where this ends; `npm run fuzz -- --seed 123` makes one that goes wrong small.
const from = 1
const count = 300

t.test(`${count} random sequences keep every promise (seeds from ${from})`, { timeout: 600_000 }, async t => {
  await runMany({
    from,
    count,
    atOnce: 10,
    onDone (seed, sequence, { wrong }) {
      t.same(wrong, [], `seed ${seed}`)
      if (wrong.length > 0) t.comment(JSON.stringify(sequence))
    }
  })
})
