import t, { type Test } from 'tap'
import { servers, type Server, type ServerName } from './servers.ts'

export interface Row {
  /** Its number in docs/failure-modes.md. */
  number: number
  /** The situation in which the drain begins, or what happens during it. */
  situation: string
  /** What must happen. */
  expected: string
  /** On which servers it makes no sense, and why. */
  notOn?: Partial<Record<ServerName, string>>
  /** Sentences of behaviour; each is tried on every server. */
  tests?: Tests
  /** Sentences that make sense on some servers only. */
  only?: Partial<Record<ServerName, Tests>>
  /** The test files where the servers are tried that are not tried here. */
  elsewhere?: Partial<Record<ServerName, string>>
}

export type Tests = Record<string, (t: Test, server: Server) => Promise<unknown>>

interface Options {
  /** How many tests run at a time: each has an app of its own. 1 where the event loop is blocked on purpose. */
  jobs?: number
}

/** Tries each row on each server where it applies. */
export function runRows (rows: Row[], { jobs = 6 }: Options = {}): void {
  t.jobs = jobs
  for (const { number, situation, expected, notOn = {}, elsewhere = {}, tests = {}, only = {} } of rows) {
    // scripts/matrix.js reads the comments, and the names of the tests.
    t.comment(`row ${number}: situation: ${situation}`)
    t.comment(`row ${number}: expected: ${expected}`)
    for (const [name, server] of Object.entries(servers)) {
      const reason = notOn[server.name]
      if (reason !== undefined) t.comment(`row ${number}: ${name}: not here: ${reason}`)
      else if (elsewhere[server.name] === undefined) {
        for (const [sentence, test] of Object.entries({ ...tests, ...only[server.name] })) {
          t.test(`row ${number}: ${name}: ${sentence}`, { buffered: true }, async t => { await test(t, server) })
        }
      }
    }
  }
}
