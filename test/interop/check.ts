import type { Test } from 'tap'
import { clients } from './clients/index.ts'
import { runAcrossRestarts, type Run } from './run.ts'
import { startService, type ServerKind } from './restart.ts'

// Pauses of the clients, in turn, in ms.
const thinkTimes = [5, 30, 200]
const restarts = 2

/** All clients that speak to this kind of server, at the same time, across restarts. */
export async function checkClients (t: Test, kind: ServerKind): Promise<void> {
  const there = clients.filter(({ kinds, missing }) => kinds.includes(kind) && missing === false)
  for (const { kinds, name, missing } of clients) if (kinds.includes(kind) && missing !== false) t.comment(`${name}: ${missing}`)
  const service = await startService(t, { kind, versions: restarts + 1 })
  const { runs, stops } = await runAcrossRestarts(
    service, there.map((client, i) => ({ client, pace: { users: 2, think: thinkTimes[i % thinkTimes.length]! } })), { restarts, settle: 400 })

  for (const { code, signal, report } of stops) {
    const cut = report.stragglers.filter(({ outcome }) => outcome === 'cut')
    t.same({ code, signal, cut }, { code: 0, signal: null, cut: [] }, 'the old version ends by itself')
  }
  for (const run of runs) t.test(run.client.name, async t => checkRun(t, run))
  t.equal(service.stderr, '', 'the service complains of nothing')
}

function checkRun (t: Test, { client: { flaw }, pace, sent, answered, lost, errors, receivedTwice, executedTwice, executedButLost }: Run): void {
  t.comment(`${pace.users} users, ${pace.think} ms: ${sent} sent, ${lost} lost, ${receivedTwice ?? '?'} received twice`)
  t.ok(answered > 0)
  if (executedTwice !== null) t.equal(executedTwice, 0, 'executed twice')
  const known = Object.keys(errors).filter(error => flaw?.errors.test(error) === true)
  t.same(Object.keys(errors).filter(error => !known.includes(error)), [], 'no error that is not known of it')
  if (known.length === 0) t.equal(lost, 0)
  if (known.length === 0 || flaw?.ofServed === false) t.equal(executedButLost, 0, 'what has failed was never executed')
}
