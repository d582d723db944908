/*
 * Everything that an app can take part in: a lame duck, streams that end in time, and what to do with the report.
 *
 *   curl -N http://127.0.0.1:3000/events     an endless stream: ends by itself when the drain begins
 *   curl -i http://127.0.0.1:3000/readyz     503 as soon as the drain begins
 *   kill -TERM <pid>                         leaves drain.json, and drain.html to look at
 */
import Fastify from 'fastify'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { setInterval as ticks } from 'node:timers/promises'
import drain from 'fastify-drain'

const app = Fastify({ logger: true })

await app.register(drain, {
  health: true, // /readyz and /livez
  shutdownDelay: 2000, // the load balancer needs this long to see that we are not ready
  hardStopAfter: 10_000, // less than what the orchestrator waits before it sends SIGKILL
  report: { file: process.env['REPORT'] ?? 'drain.json' }
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
  const { duration, connections } = app.drain.report! // there is one by now
  app.log.info({ duration, connections }, 'no connection is left')
})

await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
app.log.info(`pid ${process.pid}`)
