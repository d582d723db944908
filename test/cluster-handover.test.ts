import t from 'tap'
import { kill, startCluster, type WorkerPlan } from './helpers/cluster.ts'
import { closesToo } from './helpers/drain-service.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

const handover: WorkerPlan = { options: { handover: true } }
const after = (readyTimeout: number): WorkerPlan => ({ options: { handover: { readyTimeout } } })

t.setTimeout(300_000)

type Client = Awaited<ReturnType<typeof rawClient>>

/** Asks on a connection that may have had answers before; resolves with the pid of who answers. */
async function ask (client: Client, path = '/'): Promise<number> {
  const count = (text: string): number => text.match(/{"pid":\d+}/g)?.length ?? 0
  const before = count(client.received)
  client.write(request(path))
  await client.until(text => count(text) > before)
  const { status, headers, body } = answers(client.received).at(-1)!
  if (status !== 200 || headers['connection'] !== 'keep-alive') throw new Error(JSON.stringify({ status, headers }))
  return JSON.parse(body).pid
}

for (const policy of ['rr', 'none']) {
  t.test(`row 31: http: connections go from one worker to the next, and stay open (scheduling policy ${policy})`, async t => {
    const cluster = await startCluster(t, { policy, ...handover })
    const first = await cluster.fork()
    const clients = await Promise.all(Array.from({ length: 40 }, () => rawClient(t, first.to)))
    for (const client of clients.slice(1)) t.equal(await ask(client), first.pid)
    const [silent, ...idle] = clients as [Client, ...Client[]]
    const busy = await rawClient(t, first.to)
    busy.write(request('/held'))
    await cluster.message({ type: 'held', pid: first.pid })

    const { pid, message } = await cluster.replace(first.pid)
    t.equal(message, undefined)
    t.not(pid, first.pid)
    for (const client of [silent, ...idle]) t.equal(await ask(client), pid)
    const fresh = await rawClient(t, first.to)
    t.equal(await ask(fresh), pid)

    // It is answered where it is, and its connection follows.
    cluster.tell(first.pid, 'release')
    await busy.until(/{"pid":\d+}/)
    t.match(answers(busy.received), [{ status: 200, headers: { connection: 'keep-alive' }, body: `{"pid":${first.pid}}` }])
    t.match(await cluster.exit(first.pid), { code: 0, signal: null })
    t.equal(await ask(busy), pid)

    // And on to a third.
    const { pid: third } = await cluster.replace(pid)
    t.match(await cluster.exit(pid), { code: 0, signal: null })
    for (const client of [silent, ...idle, busy, fresh]) t.equal(await ask(client), third)

    kill(third, 'SIGTERM')
    for (const client of clients) {
      client.write(request('/'))
      t.equal(await closesToo(client), null)
    }
    t.match(await cluster.exit(third), { code: 0, signal: null })
    t.equal(await cluster.leave(), 0)
  })
}

t.test('row 31: http: a new worker that does not get ready changes nothing', async t => {
  const cluster = await startCluster(t, after(60_000))
  const old = await cluster.fork()
  const client = await rawClient(t, old.to)
  t.equal(await ask(client), old.pid)
  const goesOn = 'this process goes on serving; see the output of its successor, mend the cause and begin again'
  for (const [next, what] of [
    [{ instead: 'throw' }, 'it has ended with code 1'],
    [{ instead: 'fail' }, 'it has closed the channel to its predecessor']
  ] as const) {
    t.same(await cluster.replace(old.pid, { ...after(60_000), ...next }), { type: 'replaced', old: old.pid, code: 'FST_DRAIN_HANDOVER', message: `fastify-drain: no handover: ${what}; ${goesOn}` })
    t.equal(await ask(client), old.pid)
  }
  const { pid } = await cluster.replace(old.pid)
  t.match(await cluster.exit(old.pid), { code: 0, signal: null })
  t.equal(await ask(client), pid, 'then one that does is taken')
})

t.test('row 31: http: a new worker that hangs is killed when it is overdue', async t => {
  const cluster = await startCluster(t, after(1500))
  const old = await cluster.fork()
  const client = await rawClient(t, old.to)
  const { pid, message } = await cluster.replace(old.pid, { ...after(1500), instead: 'hang' })
  t.equal(pid, undefined)
  t.match(message, /^fastify-drain: no handover: it was not ready after \d+ ms; let it listen sooner, or set "readyTimeout" to more/)
  t.match(await cluster.message({ type: 'exit' }), { signal: 'SIGTERM' })
  t.equal(await ask(client), old.pid)
})

t.test('row 31: http: the old worker is killed while its successor starts, and that one serves', async t => {
  const cluster = await startCluster(t, handover)
  // Of which one keeps the port: it is any free one.
  const [old, other] = [await cluster.fork(), await cluster.fork()]
  const replaced = cluster.replace(old.pid)
  await cluster.message({ type: 'log', pid: old.pid, msg: 'handover: another worker is starting' })
  kill(old.pid, 'SIGKILL')
  await cluster.exit(old.pid)
  const { pid } = await replaced
  kill(other.pid, 'SIGKILL')
  await cluster.exit(other.pid)
  t.equal(await ask(await rawClient(t, old.to)), pid)
})

t.test('row 31: http: the old worker is told to end meanwhile, and both do', async t => {
  const cluster = await startCluster(t, handover)
  const old = await cluster.fork()
  const replaced = cluster.replace(old.pid, { ...handover, instead: 'hang' })
  await cluster.message({ type: 'log', pid: old.pid, msg: 'handover: another worker is starting' })
  kill(old.pid, 'SIGTERM')
  t.match((await replaced).message, 'fastify-drain: no handover: this process was told to close meanwhile; its successor closes as well')
  t.match(await cluster.exit(old.pid), { code: 0, signal: null })
  t.match(await cluster.message({ type: 'exit' }), { signal: 'SIGTERM' })
  t.equal(await cluster.leave(), 0)
})

t.test('row 31: http: whoever asks again gets the same worker, and a worker that has just come is replaced when all is there', async t => {
  const cluster = await startCluster(t, handover)
  const old = await cluster.fork()
  const [client, busy] = [await rawClient(t, old.to), await rawClient(t, old.to)]
  t.equal(await ask(client), old.pid)
  busy.write(request('/held'))
  await cluster.message({ type: 'held', pid: old.pid })
  const [{ pid: second }, { pid: same }] = await Promise.all([cluster.replace(old.pid), cluster.replace(old.pid)])
  t.equal(same, second)
  const replaced = cluster.replace(second)
  t.equal(await ask(client), second)
  cluster.tell(old.pid, 'release')
  const { pid: third } = await replaced
  t.match(await cluster.exit(old.pid), { code: 0, signal: null })
  t.match(await cluster.exit(second), { code: 0, signal: null })
  t.same([await ask(client), await ask(busy)], [third, third])
})

t.test('row 31: http: an address that the new worker does not listen on is drained', async t => {
  const cluster = await startCluster(t, handover)
  const old = await cluster.fork()
  const client = await rawClient(t, old.to)
  t.equal(await ask(client), old.pid)
  const { pid } = await cluster.replace(old.pid, { ...handover, listen: { host: '127.0.0.2', port: old.to.port } })
  t.equal(await closesToo(client), null)
  t.match(await cluster.exit(old.pid), { code: 0, signal: null })
  t.equal(await ask(await rawClient(t, { host: '127.0.0.2', port: old.to.port })), pid)
})

t.test('a worker without the option is not replaced, and the error says what to do', async t => {
  const cluster = await startCluster(t)
  const old = await cluster.fork()
  t.equal((await cluster.replace(old.pid)).message,
    'fastify-drain: no handover: no app of this worker takes part; register the plugin with { handover: true }, unless it is closing')
  t.equal(await ask(await rawClient(t, old.to)), old.pid)
})

t.test('a worker begins no handover of its own', async t => {
  const cluster = await startCluster(t, handover)
  const { pid, to } = await cluster.fork()
  cluster.tell(pid, 'handover')
  t.match(await cluster.message({ type: 'refused' }), {
    code: 'FST_DRAIN_HANDOVER',
    message: 'fastify-drain: no handover: this is a worker of node:cluster, and its primary begins; call replaceWorker() of fastify-drain/cluster there'
  })
  // A signal to the whole group.
  kill(pid, 'SIGUSR2')
  t.equal(await ask(await rawClient(t, to)), pid)
})
