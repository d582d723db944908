import type { FastifyInstance, RouteOptions } from 'fastify'
import { errors } from './errors.ts'
import type { Health, Probe } from './health.ts'

/**
 * The same answers as routes of the app, for app.inject(), for lists of routes, and for other spellings of the paths that the
 * router accepts; a route of the app at one of these paths is refused.
 * @throws FST_DRAIN_HEALTH_ROUTE
 */
export function addHealthRoutes (app: FastifyInstance, health: Health): void {
  for (const probe of health.probes) {
    const taken = methods.filter(method => app.hasRoute({ method, url: probe.path }))
    if (taken.length > 0) throw conflict(probe, taken)
    addRoute(app, health, probe)
  }
  app.addHook('onRoute', ({ method, url }) => {
    const taken = methods.filter(name => [method].flat().includes(name))
    const probe = health.probes.find(({ path }) => path === url)
    if (probe !== undefined && taken.length > 0) throw conflict(probe, taken)
  })
}

const methods = ['GET', 'HEAD']

function addRoute (app: FastifyInstance, health: Health, probe: Probe): void {
  const route: RouteOptions & { schema: { hide: boolean } } = {
    method: 'GET',
    url: probe.path,
    exposeHeadRoute: true,
    // For @fastify/swagger: it is no part of the API.
    schema: { hide: true },
    // What there is to tell is told by the answer itself.
    logLevel: 'silent',
    handler: (_request, reply) => { reply.send('') },
    // Last in line: whatever a hook of the app has said, the probe gets its answer.
    onSend: async (request, reply) => {
      const { status, headers, body } = health.answer(probe, request.method)
      for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name)
      reply.code(status).headers(headers)
      return body
    }
  }
  app.route(route)
}

function conflict ({ name, path }: Probe, taken: string[]): Error {
  return new errors.HealthRoute(name, path, taken.map(method => `${method} ${path}`).join(', '), name)
}
