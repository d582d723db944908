import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { EventSource } from 'undici'
import { eventually, testApp } from './helpers/app.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** What a load balancer does for new connections; `to` is where they go. */
async function balancer (t: Teardown): Promise<{ url: string, to: { port: number } }> {
  const to = { port: 0 }
  const server = createServer({ allowHalfOpen: true }, client => {
    const upstream = connect({ port: to.port, host: '127.0.0.1', allowHalfOpen: true })
    client.pipe(upstream).pipe(client)
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
    t.teardown(() => { client.destroy(); upstream.destroy() })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`, to }
}

for (const endStreams of ['begin', 'draining'] as const) {
  t.test(`an EventSource that comes back to the replacement misses no event and gets none twice, with endStreams: '${endStreams}'`, async t => {
    // What all processes know, such as a database: events with numbers.
    let last = 0
    const more = setInterval(() => { last++ }, 2)
    t.teardown(() => clearInterval(more))

    const start = async (): Promise<{ app: FastifyInstance, port: number }> => {
      const { app, listen } = await testApp(t, { shutdownDelay: 200, idleGrace: 50, peerCloseTimeout: 50 })
      app.get('/events', { config: { drain: { endStreams, retry: [10, 60] } } }, (request, reply) => {
        const { raw } = reply.hijack()
        let sent = Number(request.headers['last-event-id'] ?? last)
        raw.writeHead(200, { 'content-type': 'text/event-stream' })
        const timer = setInterval(() => {
          while (sent < last) raw.write(`id: ${++sent}\ndata: ${sent}\n\n`)
        }, 1)
        raw.once('close', () => clearInterval(timer))
      })
      return { app, port: (await listen()).port }
    }

    const { url, to } = await balancer(t)
    let { app, port } = await start()
    to.port = port
    const sources = Array.from({ length: 3 }, () => new EventSource(url))
    t.teardown(() => { for (const source of sources) source.close() })
    const got = sources.map(source => {
      const ids: number[] = []
      source.onmessage = ({ data, lastEventId }) => { ids.push(data === lastEventId ? Number(data) : NaN) }
      return ids
    })
    await eventually(() => got.every(ids => ids.length > 10), 'all get events')

    for (let restart = 0; restart < 2; restart++) {
      const next = await start()
      to.port = next.port
      const before = last
      const report = await app.drain.begin('restart')
      t.equal(report.connections.cut, 0)
      await eventually(() => got.every(ids => (ids.at(-1) ?? 0) > before + 50), 'all get events of the next process')
      app = next.app
    }
    for (const ids of got) {
      t.same(ids, Array.from(ids, (_, i) => (ids[0] ?? 0) + i))
    }
    for (const source of sources) source.close()
    await app.drain.begin('end')
  })
}
