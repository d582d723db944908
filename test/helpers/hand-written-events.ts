import type { FastifyInstance } from 'fastify'

/** `GET /events`: server-sent events, written by hand as most people do. `obeys`: they end with the drain's signal. */
export function handWrittenEvents (app: FastifyInstance, { obeys }: { obeys: boolean }): void {
  app.get('/events', (_request, reply) => {
    reply.hijack()
    const { raw } = reply
    raw.writeHead(200, { 'content-type': 'text/event-stream' })
    raw.write('data: first\n\n')
    const more = setInterval(() => raw.write('data: more\n\n'), 20)
    raw.once('close', () => clearInterval(more))
    if (!obeys) return
    app.drain.signal.addEventListener('abort', () => {
      clearInterval(more)
      raw.end('data: last\n\n')
    }, { once: true })
  })
}
