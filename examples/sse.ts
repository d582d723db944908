/*
 * An event source that can be restarted: a client that comes back says which event it saw last, and misses none.
 *
 *   curl -N http://127.0.0.1:3000/events                              ends by itself when the drain begins
 *   curl -N -H 'Last-Event-ID: 3' http://127.0.0.1:3000/events        goes on behind event 3
 *   kill -TERM <pid>
 */
import Fastify from 'fastify'
import { EventEmitter } from 'node:events'
import drain from 'fastify-drain'

const app = Fastify({ logger: true })

// First, and awaited: routes that are registered before the plugin have no `config.drain`.
await app.register(drain, { hardStopAfter: 10_000 })

// What all processes share in real life: a table, a Redis stream. A number per event, in order.
const events: Array<{ id: number, time: string }> = []
const news = new EventEmitter().setMaxListeners(0)
const clock = setInterval(() => {
  events.push({ id: events.length + 1, time: new Date().toISOString() })
  news.emit('event')
}, 500)

app.get('/events', {
  config: {
    drain: {
      endStreams: 'begin', // 'draining': at the end of the lame duck
      retry: [500, 2000] // each client is told a time between these, so that not all come back at once
    }
  }
}, (request, reply) => {
  const { raw } = reply.hijack()
  let last = Number(request.headers['last-event-id'] ?? 0)
  const send = (): void => {
    for (const event of events.slice(last)) {
      raw.write(`id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`)
      last = event.id
    }
  }

  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  raw.write(': hello\n\n')
  send()
  news.on('event', send)
  // The client has gone, or the plugin has ended the stream.
  raw.once('close', () => news.off('event', send))
})

app.addHook('onClose', async () => clearInterval(clock))

await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
app.log.info(`pid ${process.pid}`)
