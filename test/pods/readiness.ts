// A module of routes for ../interop/server.ts. Until the plugin brings the route itself: then `health: { readiness }` is all that is needed here.
import type { FastifyInstance } from 'fastify'

/** What the kubelet asks: 200 before a drain, 503 from its beginning on. */
export const readiness = '/ready'

export default function routes (app: FastifyInstance): void {
  app.get(readiness, async (_request, reply) => {
    const { phase } = app.drain
    reply.code(phase === 'serving' ? 200 : 503)
    return { phase }
  })
}
