/*
 * Workers of node:cluster, replaced one by one: for each a new one starts, and when it listens the old one drains. At any
 * moment as many workers as before are ready.
 *
 *   curl http://127.0.0.1:3000/        while it runs; says which worker answers
 *   kill -USR2 <pid of the primary>    replaces the workers (SIGHUP does, too); a changed worker file is the new version
 *   kill -TERM <pid of the primary>    drains all workers, and ends
 *
 * A worker cannot hand over by itself (`handover: true` is refused): its listener belongs to the primary. So idle connections
 * are closed, and their clients connect again; no request is lost. Only the workers are new: the primary, with its Node and
 * its environment, stays until it is restarted. Workers have to be told by SIGTERM: worker.disconnect() would close their
 * servers before anything is drained.
 */
import Fastify from 'fastify'
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from 'fastify-drain'

// How long a new worker may take until it listens, in ms.
const readyTimeout = Number(process.env['READY_TIMEOUT'] ?? 30_000)

if (cluster.isPrimary) primary(Number(process.env['WORKERS'] ?? 2))
else await worker()

async function worker (): Promise<void> {
  const app = Fastify({ logger: true })
  // Ctrl-C reaches the workers as well: it is for the primary to tell them.
  process.on('SIGINT', () => {})
  await app.register(drain, { signals: ['SIGTERM'], idleGrace: 500 })
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

  /** Brings one more worker up, however often that takes. */
  async function keepUp (): Promise<void> {
    while (!stopping.signal.aborted && serving.size < count) {
      const worker = await started()
      if (worker === null) await sleep(1000)
      else if (serving.size < count) serving.add(worker)
      else worker.process.kill('SIGTERM')
    }
  }

  async function replaceAll (): Promise<void> {
    for (const old of [...serving]) {
      const successor = await started()
      if (stopping.signal.aborted) return
      if (successor === null) {
        console.log('a new worker did not come up: the old ones go on')
        return
      }
      serving.delete(old)
      serving.add(successor)
      // It has crashed in the meantime.
      if (old.isDead()) continue
      console.log(`worker ${successor.process.pid} replaces ${old.process.pid}`)
      const ended = once(old, 'exit')
      old.process.kill('SIGTERM')
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
