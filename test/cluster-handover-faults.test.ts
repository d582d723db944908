import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { kill, startCluster } from './helpers/cluster.ts'
import { elsewhere } from './helpers/handover-faults.ts'
import { load } from './helpers/handover-clients.ts'

// One worker of two is replaced under load, and one side of that is killed, or told to end, so many ms after the new worker was
// forked or listened. In 40 ms or so all connections have moved.
const strikes = [
  ['old', 'SIGKILL', 'forked', [100]],
  ['old', 'SIGKILL', 'listening', [0, 8]],
  ['old', 'SIGTERM', 'listening', [4]],
  ['new', 'SIGKILL', 'listening', [0, 4, 12]],
  ['new', 'SIGTERM', 'listening', [4]],
  // As a service manager does that ends all processes of a service.
  ['both', 'SIGTERM', 'listening', [4]]
] as const

t.setTimeout(300_000)
t.jobs = 2
const skip = elsewhere()
let seed = 0

for (const [victim, signal, from, waits] of strikes) {
  for (const wait of waits) test(victim, signal, from, wait, ++seed)
}

function test (victim: 'old' | 'new' | 'both', signal: NodeJS.Signals, from: 'forked' | 'listening', wait: number, seed: number): void {
  t.test(`row 31: http: ${signal} to ${victim === 'both' ? 'both workers' : `the ${victim} worker`} ${wait} ms after the new one was ${from}`, { skip, buffered: true }, async t => {
    // Clients that a busy machine keeps waiting may still use their connections.
    const cluster = await startCluster(t, { options: { handover: true, idleGrace: 2000 } })
    const [old] = [await cluster.fork(), await cluster.fork()]
    const clients = load({ port: old.to.port, clients: 30, seed, think: 30, work: 20 })
    t.teardown(() => clients.stop(0))
    await sleep(300)

    const replaced = cluster.replace(old.pid)
    const { pid: successor } = await cluster.message({ type: 'forked' })
    if (from === 'listening') await cluster.message({ type: 'listening', pid: successor })
    await sleep(wait)
    const struck = { old: [old.pid], new: [successor], both: [old.pid, successor] }[victim]
    for (const pid of struck) kill(pid, signal)
    const { message } = await replaced
    t.comment(message ?? 'replaced')
    for (const pid of struck) t.equal((await cluster.exit(pid)).code, signal === 'SIGKILL' ? null : 0)
    await sleep(300)
    // A connection that was on its way to a worker which is killed stays with the primary, for ever: so it is with Node alone.
    await clients.stop(5000)

    const executed = new Map(cluster.executed().map(({ id, pid }) => [id, pid]))
    t.equal(cluster.executed().length, executed.size, 'nothing was executed twice')
    t.ok(clients.answered > 100)
    t.same(clients.refused, [], 'somebody listens at any moment')
    const [died] = signal === 'SIGKILL' ? struck : [null]
    t.same(clients.broken.filter(({ id }) => executed.has(id) && executed.get(id) !== died), [], 'what was executed was answered, unless its process was killed')
    if (died === null) t.same(clients.broken, [], 'nothing was lost')
  })
}
