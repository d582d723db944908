import { setTimeout as sleep } from 'node:timers/promises'

import Fastify from 'fastify'

/**
 * The service that every measurement runs: as plain as it gets, so that only the shutdown differs.
 *
 * @param {number} work milliseconds a request waits, as for a database
 */
export function buildApp (work) {
  const app = Fastify()

  if (work > 0) app.addHook('preHandler', () => sleep(work))
  app.get('/items/:id', async request => ({ id: request.params.id }))
  app.post('/items', async request => request.body)

  return app
}
