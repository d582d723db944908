import { readinessPath } from '../../lib/readiness.js'
import { listenWithReusePort } from '../../lib/reuse-port-socket.js'
import { install as installBare } from '../bare.js'

/** Fastify as most people stop it, with a route for the checks: Fastify itself answers 503 as soon as it is closing. */
export function install (app) {
  app.get(readinessPath, async () => ({ ready: true }))
  installBare(app)
}

export function listen (app, address, { reusePort }) {
  return reusePort ? listenWithReusePort(app, address) : app.listen(address)
}
