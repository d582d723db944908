import { run, type Result } from './run.ts'
import type { Coverage } from './coverage.ts'
import { sequenceOf, type Sequence } from './sequence.ts'

export interface Many {
  /** The first seed; they go on from there. */
  from: number
  count: number
  atOnce: number
  coverage?: Coverage
  onDone (seed: number, sequence: Sequence, result: Result): void
}

// Somebody who listens to the channels listens to every app of the process, so those that are observed have their own turn.
const inOneTurn = 200

export async function runMany ({ from, count, atOnce, coverage, onDone }: Many): Promise<void> {
  for (let first = from; first < from + count; first += inOneTurn) {
    const seeds = Array.from({ length: Math.min(inOneTurn, from + count - first) }, (_, i) => first + i)
    const all = seeds.map(seed => ({ seed, sequence: sequenceOf(seed) }))
    for (const turn of [true, false]) {
      const left = all.filter(({ sequence: { observed } }) => observed === turn)
      await Promise.all(Array.from({ length: atOnce }, async () => {
        for (let next = left.shift(); next !== undefined; next = left.shift()) {
          const { seed, sequence } = next
          onDone(seed, sequence, await safely(sequence, coverage))
        }
      }))
    }
  }
}

/** An error of the run itself is something that went wrong, too. */
export async function safely (sequence: Sequence, coverage?: Coverage): Promise<Result> {
  try {
    return await run(sequence, coverage)
  } catch (error) {
    return { wrong: [`the run broke off: ${error instanceof Error ? error.stack : String(error)}`], done: [], executed: 0 }
  }
}
