import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Client } from 'undici'
import { serverTimeWait, startInstances } from './helpers/drain-inherit.ts'

const clients = 100
const thinkTimes = [10, 400]

t.test('SIGTERM under keep-alive load: a successor takes over, and no client notices', async t => {
  const { port, instances: [first, second] } = await startInstances(t, new URL('fixtures/load-server.ts', import.meta.url), 2)
  await first!.listen()
  const load = startLoad(t, port)
  await load.warm

  await second!.listen()
  const { ms, ...exit } = await first!.terminate()
  const timeWait = process.platform === 'linux' ? serverTimeWait(port) : null
  // Every client comes back to the successor.
  await sleep(600)
  const counts = await load.stop()

  t.comment(`${counts.answered} answered, exit after ${Math.round(ms)} ms, ${timeWait} TIME_WAIT`)
  t.same(counts.failed, {}, 'every request was answered with 200, by what was sent')
  t.ok(counts.answered > clients * 4)
  t.ok(counts.connections >= clients * 2, 'each client has come back')
  t.same(exit, { code: 0, signal: null })
  t.ok(ms < 10_000, 'long before the deadline')
  if (timeWait !== null) t.ok(timeWait <= clients * 0.02, `${timeWait} connections in TIME_WAIT on the side of the server`)
})

/** Clients with one connection each: GET and POST in turn, then a pause. Nothing is retried. */
function startLoad (t: { teardown (fn: () => unknown): void }, port: number) {
  const counts = { answered: 0, connections: 0, failed: {} as Record<string, number> }
  const fail = (what: string): void => { counts.failed[what] = (counts.failed[what] ?? 0) + 1 }
  const stopping = new AbortController()
  let cold = clients
  let onWarm = (): void => {}
  const warm = new Promise<void>(resolve => { onWarm = resolve })
  const ended = Promise.all(Array.from({ length: clients }, (_, i) => run(i, thinkTimes[i % thinkTimes.length]!)))
  t.teardown(stop)
  return { warm, stop }

  async function stop () {
    stopping.abort()
    await ended
    return counts
  }

  async function run (id: number, think: number): Promise<void> {
    const client = new Client(`http://127.0.0.1:${port}`, { headersTimeout: 10_000, bodyTimeout: 10_000 })
    client.on('connect', () => { counts.connections++ })
    await sleep(Math.random() * think)
    for (let n = 0; !stopping.signal.aborted; n++) {
      try {
        await ask(client, `${id}-${n}`, n % 2 === 0 ? 'GET' : 'POST')
      } catch (error) {
        fail((error as NodeJS.ErrnoException).code ?? String(error))
      }
      // Two requests of each client: its connection is kept alive.
      if (n === 1 && --cold === 0) onWarm()
      await sleep(think)
    }
    await client.destroy()
  }

  async function ask (client: Client, id: string, method: 'GET' | 'POST'): Promise<void> {
    const expected = JSON.stringify({ id })
    const { statusCode, body } = await client.request(method === 'GET'
      ? { method, path: `/items/${id}` }
      : { method, path: '/items', headers: { 'content-type': 'application/json' }, body: expected })
    const text = await body.text()
    if (statusCode !== 200) fail(String(statusCode))
    else if (text !== expected) fail('wrong body')
    else counts.answered++
  }
}
