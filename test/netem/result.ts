import type { Ledger } from '../interop/ledger.ts'
import type { Answer } from './connection.ts'
import type { Stopped } from './processes.ts'
import type { Protocol } from './server.ts'

/** What became of the requests of one protocol in one scenario. */
export interface Row {
  scenario: string
  protocol: Protocol
  requests: number
  /** Without a whole answer, and not refused in a way that says they may be sent again. */
  lost: number
  /** How many of them may be lost, on the average; `null`: none. */
  bound: number | null
  /** Executed, without a whole answer. */
  unanswered: number
  /** Refused by HTTP/2, never executed. */
  refused: number
  /** Without a whole answer because nothing could bring it in time: that is what these are for. */
  cut: number
  /** From SIGTERM to the exit, in ms. */
  ms: number
  hardStopAfter: number
  notes: string[]
  /** Empty: nothing. */
  wrong: string[]
}

export interface Account {
  scenario: string
  protocol: Protocol
  answers: Answer[]
  ledgers: Ledger[]
  stopped: Stopped
  hardStopAfter: number
  bound?: number | null
  /** Those that the deadline is meant to cut. */
  isCut?: (answer: Answer) => boolean
}

// How much later than its deadline a process may end, on a machine that is busy with other things.
const lateness = 5000

// What the plugin says of connections that did not end well.
const usual = [/^drain: closed after /, /^drain \(SIGTERM\): /]

/** Adds up what the clients saw and what the servers have noted. */
export function tally ({ scenario, protocol, answers, ledgers, stopped, hardStopAfter, bound = null, isCut = () => false }: Account): Row {
  const executed = (id: string): number => ledgers.reduce((sum, ledger) => sum + ledger.of(id).executed, 0)
  const isLost = (answer: Answer): boolean => !(answer.status === 200 && answer.isWhole) && !answer.isRefused && !isCut(answer)
  const lost = answers.filter(isLost)
  const unanswered = lost.filter(({ id }) => executed(id) > 0)
  const refused = answers.filter(({ isRefused }) => isRefused)
  const { code, ms, reports, told } = stopped
  const wrong = [
    ...unanswered.map(answer => `executed and not answered: ${inWords(answer)}`),
    ...refused.filter(({ id }) => executed(id) > 0).map(answer => `executed and refused: ${inWords(answer)}`),
    ...answers.filter(({ id }) => executed(id) > 1).map(answer => `executed twice: ${inWords(answer)}`),
    ...bound === null ? lost.filter(answer => !unanswered.includes(answer)).map(answer => `lost: ${inWords(answer)}`) : [],
    ...answers.filter(({ status }) => status !== 0 && status !== 200).map(answer => `status ${answer.status}: ${inWords(answer)}`),
    ...addsUp(reports[protocol]) ? [] : [`the report does not add up: ${JSON.stringify(reports[protocol])}`],
    ...told.filter(message => !usual.some(pattern => pattern.test(message))).map(message => `logged: ${message}`),
    ...ms > hardStopAfter + lateness ? [`exit ${code} after ${ms} ms`] : []
  ]
  return {
    scenario,
    protocol,
    requests: answers.length,
    lost: lost.length,
    bound,
    unanswered: unanswered.length,
    refused: refused.length,
    cut: answers.filter(answer => isCut(answer) && !answer.isWhole).length,
    ms,
    hardStopAfter,
    notes: lost.map(inWords),
    wrong
  }
}

/**
 * How many requests may be lost on connections that are idle when a drain begins. A request is lost when it is the first one after
 * the grace and crosses our FIN: with a rate of r that is exp(-r * idleGrace) * r * RTT, and the worst r is 1 / idleGrace.
 */
export function lossBound ({ rtt, idleGrace, idle }: { rtt: number, idleGrace: number, idle: number }): number {
  return idle * rtt / (Math.E * idleGrace)
}

export function median (values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

function addsUp (report: Stopped['reports'][Protocol]): boolean {
  if (report === undefined) return false
  const { total, ...outcomes } = report.connections
  return Object.values(outcomes).reduce((sum, count) => sum + count) === total
}

function inWords ({ id, status, bytes, error, ms }: Answer): string {
  return `${id}: status ${status}, ${bytes} bytes, ${error ?? 'no error'} after ${Math.round(ms)} ms`
}
