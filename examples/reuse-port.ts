/*
 * Two processes on one port, and a rolling restart of both under load, without a supervisor that keeps the socket: each
 * successor joins the port before its predecessor leaves it.
 *
 *   npm run example examples/reuse-port.ts     takes a few seconds, and ends with what happened to the requests
 *
 * With several CPUs, or containers on one machine, every process is started by something else. All they have in common is
 * serve(): the port and `reusePort: true`.
 */
import Fastify from 'fastify'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import drain from 'fastify-drain'

const host = '127.0.0.1'

if (process.argv[2] === 'serve') await serve(Number(process.argv[3]))
else await restartUnderLoad()

async function serve (port: number): Promise<void> {
  const app = Fastify({ logger: { level: 'warn' } })
  await app.register(drain, { reusePort: true, idleGrace: 500 })
  app.get('/', async () => ({ pid: process.pid }))
  await app.listen({ host, port })
  process.send?.((app.server.address() as AddressInfo).port)
  process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'))
}

async function restartUnderLoad (): Promise<void> {
  const first = await start(Number(process.env['PORT'] ?? 0))
  const { port } = first
  const second = await start(port)
  console.log(`two processes on port ${port}: ${first.child.pid} and ${second.child.pid}`)

  const load = startLoad(port)
  await sleep(500)
  const successors = []
  for (const { child } of [first, second]) {
    const successor = await start(port)
    const code = await stop(child)
    successors.push(successor.child)
    console.log(`${child.pid} left with ${code}, ${successor.child.pid} is there`)
  }
  await sleep(500)
  const { answered, lost } = await load.stop()

  await Promise.all(successors.map(stop))
  for (const [pid, count] of answered) console.log(`process ${pid} answered ${count}`)
  for (const [reason, count] of lost) console.log(`${reason}: ${count}`)
  console.log(`${sum(answered)} answered, ${sum(lost)} lost`)
  process.exitCode = lost.size === 0 ? 0 : 1
}

/** Resolves when the process listens. */
async function start (port: number): Promise<{ child: ChildProcess, port: number }> {
  const child = fork(fileURLToPath(import.meta.url), ['serve', String(port)])
  const failed = once(child, 'exit').then(([code]) => { throw new Error(`process ${child.pid} ended with ${code}`) })
  const [joined] = await Promise.race([once(child, 'message'), failed])
  failed.catch(() => {})
  return { child, port: joined }
}

async function stop (child: ChildProcess): Promise<number> {
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  return code
}

/** Twenty loops of requests, each on a connection of its own; nothing is tried twice. */
function startLoad (port: number) {
  const answered = new Map<string, number>()
  const lost = new Map<string, number>()
  const stopping = new AbortController()
  const loops = Array.from({ length: 20 }, async () => {
    while (!stopping.signal.aborted) {
      try {
        add(answered, String((await ask(port)).pid))
      } catch (error) {
        add(lost, String((error as NodeJS.ErrnoException).code))
      }
      await sleep(5)
    }
  })
  return {
    async stop () {
      stopping.abort()
      await Promise.all(loops)
      return { answered, lost }
    }
  }
}

async function ask (port: number): Promise<{ pid: number }> {
  const [response] = await once(get({ host, port, agent: false }), 'response')
  let body = ''
  for await (const text of response.setEncoding('utf8')) body += text
  return JSON.parse(body)
}

function add (counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function sum (counts: Map<string, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0)
}
