import fc, { type Arbitrary } from 'fast-check'
import type { ServerName } from '../helpers/servers.ts'
import { operationsOn, type Operation } from './operations.ts'

/*
 * A sequence is plain JSON: what clients do to a server, one thing after the other, with the drain as one of them.
 */

/** `h2` has clients of both HTTP/2 and, the odd ones, HTTP/1.1. */
export const serverNames = ['http', 'https', 'h2c', 'h2'] as const

export interface SequenceOptions {
  shutdownDelay: number
  idleGrace: number
  closeSpread: number
  peerCloseTimeout: number
  lingerTimeout: number
  lingerTime: number
  hardStop: 'destroy' | 'reset'
  /** In ms. Where it is `farDeadline` whoever keeps the rules has gone by then. */
  hardStopAfter: number
}

export interface Sequence {
  server: typeof serverNames[number]
  /** Whether somebody listens to the diagnostics channels, which is another path through the plugin. */
  observed: boolean
  options: SequenceOptions
  operations: Operation[]
}

/** So late that only what is broken is cut, in ms. */
export const farDeadline = 10_000

const clients = 3

/** What this client of this server speaks. */
export function protocolOf (server: Sequence['server'], client: number): ServerName {
  return server === 'h2' && client % 2 === 1 ? 'allowHTTP1' : server
}

// What comes first is what is left when a sequence shrinks: the far deadline, no delay.
const options: Arbitrary<SequenceOptions> = fc.record({
  shutdownDelay: fc.constantFrom(0, 0, 30, 120),
  idleGrace: fc.constantFrom(0, 20, 60, 150),
  closeSpread: fc.constantFrom(0, 0, 40),
  peerCloseTimeout: fc.constantFrom(0, 20, 50),
  lingerTimeout: fc.constantFrom(80, 150),
  lingerTime: fc.constantFrom(160, 300),
  hardStop: fc.constantFrom('destroy', 'reset'),
  hardStopAfter: fc.constantFrom(farDeadline, farDeadline, farDeadline, 300, 600)
})

function on (server: Sequence['server'], observed: Arbitrary<boolean>): Arbitrary<Sequence> {
  const operations = fc.array(operationsOn(server, clients), { minLength: 0, maxLength: 60, size: 'max' })
  return fc.record({ server: fc.constant(server), observed, options, operations })
}

/** All sequences; `observed`: only those that are, or are not. */
export function sequences (observed?: boolean): Arbitrary<Sequence> {
  const isObserved = observed === undefined ? fc.boolean() : fc.constant(observed)
  return fc.oneof(...serverNames.map(server => on(server, isObserved)))
}

/** The sequence of a seed. Those of odd seeds are observed. */
export function sequenceOf (seed: number): Sequence {
  const [sequence] = fc.sample(sequences(seed % 2 === 1), { seed, numRuns: 1 })
  return sequence as Sequence
}
