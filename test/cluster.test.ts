import t from 'tap'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { closesToo } from './helpers/drain-service.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

interface Test { teardown (fn: () => unknown): void }
interface Worker { pid: number, to: { host: string, port: number } }

const host = '127.0.0.1'

/** A primary, and workers that are started one by one. All are gone on teardown. */
async function startCluster (t: Test, { policy = 'rr', options = {} }: { policy?: string, options?: object } = {}) {
  const child = fork(fileURLToPath(new URL('fixtures/cluster-apps.js', import.meta.url)), {
    execArgv: [],
    env: {
      ...process.env,
      // tap's loaders, which cost more than all the rest.
      NODE_OPTIONS: '',
      NODE_CLUSTER_SCHED_POLICY: policy,
      KUBERNETES_SERVICE_HOST: undefined,
      OPTIONS: JSON.stringify({ idleGrace: 500, peerCloseTimeout: 100, ...options })
    }
  })
  const pid = child.pid as number
  const exited = once(child, 'exit')
  const messages: any[] = []
  const running = new Set<number>()
  child.on('message', (message: any) => {
    messages.push(message)
    if (message.type === 'exit') running.delete(message.pid)
    else if (message.pid !== undefined) running.add(message.pid)
  })
  t.teardown(async () => {
    for (const pid of running) kill(pid, 'SIGKILL')
    if (child.exitCode === null) kill(pid, 'SIGKILL')
    await exited
  })
  const message = async (fits: object): Promise<any> => {
    const over = exited.then(() => { throw new Error(`the primary ended before ${JSON.stringify(fits)}: ${JSON.stringify(messages)}`) })
    over.catch(() => {})
    while (true) {
      const found = messages.findIndex(message => Object.entries(fits).every(([name, value]) => message[name] === value))
      if (found >= 0) return messages.splice(found, 1)[0]
      await Promise.race([once(child, 'message'), over])
    }
  }
  await message({ type: 'primary' })

  return {
    pid,
    message,
    exit: (pid: number) => message({ type: 'exit', pid }),
    refused: () => {
      child.send('fork')
      return message({ type: 'refused' })
    },
    async fork (): Promise<Worker> {
      child.send('fork')
      const { pid, port } = await message({ type: 'listening' })
      return { pid, to: { host, port } }
    },
    /** Nothing keeps it: it ends by itself. */
    async leave (): Promise<unknown> {
      child.send('leave')
      const [code] = await exited
      return code
    }
  }
}

function kill (pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended.
  }
}

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

t.test('a worker with { handover: true } is refused, and its error leads to the example', async t => {
  const cluster = await startCluster(t, { options: { handover: true } })
  const { pid, code, message } = await cluster.refused()
  t.equal(code, 'FST_DRAIN_HANDOVER_IMPOSSIBLE')
  t.match(message, /node:cluster.*primary.*examples\/cluster\.ts/)
  await cluster.exit(pid)
  t.equal(await cluster.leave(), 0)
})
