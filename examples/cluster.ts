/*
 * Workers of node:cluster, replaced one by one: for each a new one starts, takes the connections of the old one when it listens,
 * and the old one drains what is left. At any moment as many workers as before are ready, and clients keep their connections.
 *
 *   curl http://127.0.0.1:3000/        while it runs; says which worker answers
 *   kill -USR2 <pid of the primary>    replaces the workers (SIGHUP does, too); a changed worker file is the new version
 *   kill -TERM <pid of the primary>    drains all workers, and ends
 *
 * Only the workers are new: the primary, with its Node and its environment, stays until it is restarted. It may be process 1
 * of a container. To end a worker for good, send it SIGTERM: worker.disconnect() would close its servers before anything is drained.
 */
import Fastify from 'fastify'
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from 'fastify-drain'
import { replaceWorker } from 'fastify-drain/cluster'

// How long a new worker may take until it is ready, in ms.
const readyTimeout = Number(process.env['READY_TIMEOUT'] ?? 30_000)

if (cluster.isPrimary) primary(Number(process.env['WORKERS'] ?? 2))
else await worker()

async function worker (): Promise<void> {
  const app = Fastify({ logger: true })
  // Ctrl-C reaches the workers as well: it is for the primary to tell them.
  process.on('SIGINT', () => {})
  await app.register(drain, { signals: ['SIGTERM'], handover: { readyTimeout } })
  app.get('/', async () => ({ pid: process.pid }))
  app.get('/slow', async () => {
    await sleep(2000)
    return { slow: true, pid: process.pid }
  })
  // The primary hears of it: 'listening'. What has to be loaded before belongs in front of it.
  await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
}

function primary (count: number): void {
  const serving = new Set<Worker>()
  let starting = 0
  const stopping = new AbortController()
  let rolling: Promise<void> | null = null

  // One after the other: signals that come meanwhile mean the same.
  const roll = (): void => { rolling ??= replaceAll().finally(() => { rolling = null }) }
  process.on('SIGUSR2', roll)
  process.on('SIGHUP', roll)
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, stop)
  cluster.on('exit', worker => {
    // Whoever is told to leave is no member any more: this one has crashed.
    if (serving.delete(worker)) keepUp()
  })
  console.log(`primary ${process.pid}`)
  for (let i = 0; i < count; i++) keepUp()

  /** Brings a worker up where one is missing, however often that takes. */
  async function keepUp (): Promise<void> {
    while (!stopping.signal.aborted && serving.size + starting < count) {
      starting++
      const worker = await started()
      starting--
      if (worker === null) await sleep(1000)
      else if (serving.size < count) serving.add(worker)
      else worker.process.kill('SIGTERM')
    }
  }

  async function replaceAll (): Promise<void> {
    for (const old of [...serving]) {
      // It has crashed in the meantime.
      if (!serving.has(old)) continue
      const ended = once(old, 'exit')
      try {
        const successor = await replaceWorker(old)
        serving.delete(old)
        serving.add(successor)
        console.log(`worker ${successor.process.pid} replaces ${old.process.pid}`)
      } catch (error) {
        console.log(`the old workers go on: ${(error as Error).message}`)
        return
      }
      await ended
    }
    console.log(`all workers are replaced: ${[...serving].map(({ process }) => process.pid).join(', ')}`)
  }

  function stop (): void {
    stopping.abort()
    // Those that have not come up are among them. The primary ends when they have.
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
  }
}

/** A worker that listens; `null`: it does not. */
async function started (): Promise<Worker | null> {
  const worker = cluster.fork()
  const given = new AbortController()
  const isListening = await Promise.race([
    once(worker, 'listening', given).then(() => true),
    once(worker, 'exit', given).then(() => false),
    sleep(readyTimeout, false, given)
  ]).catch(() => false)
  given.abort()
  if (isListening) return worker
  worker.process.kill('SIGKILL')
  return null
}
