import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import Fastify from 'fastify'

const pem = name => readFileSync(new URL(`../../test/fixtures/tls/${name}.pem`, import.meta.url))

/** What Fastify is told to speak each protocol. */
const servers = {
  http: () => ({}),
  https: () => ({ https: { key: pem('key'), cert: pem('cert') } }),
  h2c: () => ({ http2: true }),
  h2: () => ({ http2: true, https: { key: pem('key'), cert: pem('cert') } })
}

export const protocols = Object.keys(servers)

/**
 * The service that every measurement runs: as plain as it gets, so that only the shutdown differs.
 *
 * @param {object} [options]
 * @param {number} [options.work=0] milliseconds a request waits, as for a database
 * @param {keyof servers} [options.protocol='http']
 */
export function buildApp ({ work = 0, protocol = 'http' } = {}) {
  const app = Fastify(servers[protocol]())

  if (work > 0) app.addHook('preHandler', () => sleep(work))
  app.get('/items/:id', async request => ({ id: request.params.id }))
  app.post('/items', async request => request.body)

  return app
}
