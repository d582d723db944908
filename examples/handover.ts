/*
 * A restart in place: the process starts its successor, gives it the listener and the connections, and leaves.
 *
 *   curl http://127.0.0.1:3000/        while it runs; says which process answers
 *   kill -USR2 <pid>                   the same file is started again, changed or not; no client is disconnected
 *   kill -TERM <pid>                   of the successor, which is in the log: the service ends
 *
 * To see that a connection moves: curl -w '%{num_connects}\n' with two URLs, and --rate 10/m, uses one connection for both.
 *
 * The terminal gets its prompt back when the first process leaves, because that is the one which it has started. A service
 * manager has to be able to follow the service to another process: docs/handover.md, examples/systemd.
 */
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from 'fastify-drain'

const app = Fastify({ logger: true })
const cache = new Map<string, string>()
const filled = fillCache()

await app.register(drain, {
  handover: {
    signal: 'SIGUSR2',
    readyTimeout: 10_000,
    // Asked in a successor, when it listens. Until this resolves the old process serves; when it rejects, it goes on.
    ready: () => filled
  }
})

app.get('/', async () => ({ pid: process.pid, cached: cache.size }))

// Its connection follows when it has been answered.
app.get('/slow', async () => {
  await sleep(2000)
  return { slow: true, pid: process.pid }
})

// Nothing in memory moves to the successor: it fetches what it needs, or finds it in a database.
async function fillCache (): Promise<void> {
  await sleep(100)
  cache.set('greeting', 'hello')
}

await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
app.log.info(`pid ${process.pid}`)
