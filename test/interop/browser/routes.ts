// What the page asks of its server besides GET and POST /items/:id.
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

const page = readFileSync(new URL('page.html', import.meta.url), 'utf8')

// Every event has its time, in units of this many ms, as its number: whichever process tells of it.
const interval = 20

export default async function (app: FastifyInstance): Promise<void> {
  await app.register(websocket)
  app.get('/', (_request, reply) => reply.type('text/html').send(page))

  app.register(async app => {
    app.get('/socket', { websocket: true }, socket => {
      socket.on('message', message => socket.send(message.toString()))
    })
  })

  app.get('/events', (request, reply) => {
    const last = request.headers['last-event-id']
    return reply.type('text/event-stream').send(Readable.from(events(last === undefined ? newest() : Number(last) + 1)))
  })

  async function * events (next: number): AsyncGenerator<string> {
    const { signal } = app.drain
    yield 'retry: 100\n\n'
    for (let id = next; !signal.aborted;) {
      if (id > newest()) await sleep(interval, null, { signal }).catch(() => {})
      else yield `id: ${id++}\ndata: ${process.pid}\n\n`
    }
  }
}

function newest (): number {
  return Math.floor(Date.now() / interval)
}
