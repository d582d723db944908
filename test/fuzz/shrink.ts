import fc from 'fast-check'
import { safely } from './many.ts'
import { sequences, type Sequence } from './sequence.ts'

export interface Shrunk {
  sequence: Sequence
  /** How many of `runs` failed when it was tried again. */
  failed: number
  runs: number
  wrong: string[]
}

// Timing is no part of a sequence: one that goes wrong now and then is tried this often.
const triesToShrink = 3
const triesAtTheEnd = 10

/** The shortest sequence that is found within this time and still goes wrong. */
export async function shrink (sequence: Sequence, seconds: number): Promise<Shrunk> {
  const fails = async (candidate: Sequence): Promise<boolean> => (await again(candidate, triesToShrink)).failed > 0
  let best = sequence
  // What made no sense is left out first.
  const { done } = await safely(sequence)
  const pruned = { ...sequence, operations: done }
  if (done.length < sequence.operations.length && await fails(pruned)) best = pruned
  const property = fc.asyncProperty(sequences(), async candidate => !await fails(candidate))
  const { counterexample } = await fc.check(property, { examples: [[best]], numRuns: 1, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false })
  best = counterexample?.[0] ?? best
  return { sequence: best, ...await again(best, triesAtTheEnd) }
}

/** Runs it several times, two at once. */
export async function again (sequence: Sequence, runs: number): Promise<Omit<Shrunk, 'sequence'>> {
  const wrong = new Set<string>()
  let failed = 0
  for (let i = 0; i < runs; i += 2) {
    const results = await Promise.all(Array.from({ length: Math.min(2, runs - i) }, () => safely(sequence)))
    for (const result of results) {
      if (result.wrong.length > 0) failed++
      for (const text of result.wrong) wrong.add(text)
    }
  }
  return { failed, runs, wrong: [...wrong] }
}
