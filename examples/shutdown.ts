/*
 * Everything that an app can take part in: a lame duck, streams that end in time, and what to do with the report.
 *
 *   curl -N http://127.0.0.1:3000/events     an endless stream: ends by itself when the drain begins
 *   curl -i http://127.0.0.1:3000/ready      503 as soon as the drain begins
 *   kill -TERM <pid>
 */
import Fastify from 'fastify'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setInterval as ticks } from 'node:timers/promises'
import drain from 'fastify-drain'

const app = Fastify({ logger: true })

await app.register(drain, {
  shutdownDelay: 2000, // the load balancer needs this long to see that we are not ready
  hardStopAfter: 10_000 // less than what the orchestrator waits before it sends SIGKILL
})

app.get('/ready', async (_request, reply) => {
  const { phase, connections } = app.drain
  return reply.code(phase === 'serving' ? 200 : 503).send({ phase, connections })
})

app.get('/events', (_request, reply) => {
  reply.type('text/event-stream').send(Readable.from(events()))
})

async function * events (): AsyncGenerator<string> {
  const { signal } = app.drain
  try {
    for await (const tick of ticks(1000, Date.now, { signal })) yield `data: ${tick()}\n\n`
  } catch {
    // EventSource connects again by itself, and finds the next process.
    yield 'retry: 500\nevent: bye\ndata: the server restarts\n\n'
  }
}

once(app.drain.signal, 'abort').then(() => app.log.info('the drain has begun'), () => {})

app.addHook('onClose', async () => {
  const file = join(tmpdir(), `drain-${process.pid}.json`)
  await writeFile(file, JSON.stringify(app.drain.report, null, 2))
  app.log.info(`the report is in ${file}`)
})

await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
app.log.info(`pid ${process.pid}`)
