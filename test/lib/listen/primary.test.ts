import t from 'tap'
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { isServedByPrimary } from '../../../lib/listen/primary.ts'

const fixture = fileURLToPath(new URL('../../fixtures/cluster-primary-asked.ts', import.meta.url))

function startWorker (t: { teardown (fn: () => unknown): void }): Worker {
  cluster.schedulingPolicy = cluster.SCHED_RR
  cluster.setupPrimary({ exec: fixture, execArgv: process.execArgv.filter(argument => !argument.includes('@tapjs/mock')) })
  const worker = cluster.fork()
  t.teardown(() => { if (!worker.isDead()) worker.process.kill('SIGKILL') })
  return worker
}

t.test('a worker that has left a listener of its primary waits for an answer, for 5 s at most, unless the primary is gone', async t => {
  let listened = 0
  cluster.on('listening', () => { listened++ })
  const worker = startWorker(t)
  const told = async (): Promise<unknown> => (await once(worker, 'message'))[0]
  t.same(await told(), { listening: true, exclusive: false, closed: false })
  t.same(await told(), { timers: 0, listeners: 0 }, 'nothing is left behind')
  t.equal(listened, 1, 'the primary has heard of no other listener')

  // Then it does not answer.
  worker.exitedAfterDisconnect = true
  worker.send('again')
  t.same(await told(), { timers: 0 })
  t.same(await once(worker, 'exit'), [7, null])
})

t.test('a process that is no worker has its listeners to itself', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  t.equal(isServedByPrimary(server), false)
})
