/*
 * The service of this folder's Deployment. Nothing in it is about Kubernetes: that it runs there is known by KUBERNETES_SERVICE_HOST,
 * how long it may take to end by TERMINATION_GRACE_PERIOD_SECONDS.
 */
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from 'fastify-drain'

const app = Fastify({ logger: true })

// GET /readyz and GET /livez
await app.register(drain, { health: true })

app.get('/', async () => ({ pod: process.env['HOSTNAME'] ?? null }))

app.get('/slow', async () => {
  await sleep(2000)
  return { slow: true }
})

await app.listen({ host: process.env['HOST'] ?? '0.0.0.0', port: Number(process.env['PORT'] ?? 3000) })
