import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { kill, startCluster } from './helpers/cluster.ts'
import { closesToo } from './helpers/drain-service.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

for (const policy of ['rr', 'none']) {
  t.test(`row 34: http: only the worker drains that is told to; the primary keeps listening, and the other one serves (scheduling policy ${policy})`, async t => {
    const cluster = await startCluster(t, { policy })
    const first = await cluster.fork()
    // Alone, it has every connection.
    const idle = await rawClient(t, first.to)
    idle.write(request('/'))
    await idle.until(new RegExp(`{"pid":${first.pid}}`))
    const second = await cluster.fork()
    t.same(second.to, first.to)

    process.kill(first.pid, 'SIGTERM')
    await cluster.message({ type: 'log', pid: first.pid, msg: 'drain (SIGTERM): draining, 1 idle' })
    idle.write(request('/'))
    t.equal(await closesToo(idle), null)
    t.match(answers(idle.received), [{ status: 200 }, { status: 200, headers: { connection: 'close' }, body: `{"pid":${first.pid}}` }])
    t.match(await cluster.exit(first.pid), { code: 0, signal: null })

    for (let i = 0; i < 5; i++) {
      const client = await rawClient(t, second.to)
      client.write(request('/', { headers: { connection: 'close' } }))
      t.equal(await closesToo(client), null)
      t.match(answers(client.received), [{ status: 200, body: `{"pid":${second.pid}}` }])
    }
    process.kill(second.pid, 'SIGTERM')
    t.match(await cluster.exit(second.pid), { code: 0, signal: null })
    t.equal(await cluster.leave(), 0)
  })
}

t.test('row 19: http: a connection that the primary hands to a worker which has just closed its listener is served by another one', async t => {
  const cluster = await startCluster(t)
  const [first, second] = [await cluster.fork(), await cluster.fork()]
  // It does not hear of what its workers do, and who comes to the port waits for it.
  process.kill(cluster.pid, 'SIGSTOP')
  t.teardown(() => kill(cluster.pid, 'SIGCONT'))
  const clients = await Promise.all(Array.from({ length: 10 }, () => rawClient(t, first.to)))
  for (const client of clients) client.write(request('/', { headers: { connection: 'close' } }))
  process.kill(first.pid, 'SIGTERM')
  // It has nothing to drain: without an answer of the primary it would be gone by now.
  await sleep(500)
  process.kill(cluster.pid, 'SIGCONT')

  const closed = Promise.all(clients.map(closesToo))
  t.same(await Promise.race([closed, sleep(10_000, 'one of them waits for ever', { ref: false })]), clients.map(() => null))
  for (const client of clients) t.match(answers(client.received), [{ status: 200 }])
  t.match(await cluster.exit(first.pid), { code: 0, signal: null })
  process.kill(second.pid, 'SIGTERM')
  t.match(await cluster.exit(second.pid), { code: 0, signal: null })
  t.equal(await cluster.leave(), 0)
})
