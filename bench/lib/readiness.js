/** What the proxies ask, and where: 200 before a drain, 503 from its beginning on. */
export const readinessPath = '/ready'

/** Until the plugin brings the route itself: then `health: { readiness: readinessPath }` is all that is needed here. */
export function addReadiness (app, isReady) {
  app.get(readinessPath, async (_request, reply) => {
    reply.code(isReady() ? 200 : 503)
    return { ready: isReady() }
  })
}
