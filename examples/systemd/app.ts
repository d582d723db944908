/*
 * A service for systemd, with the units beside it: app.socket keeps the listening socket, so that app.service can be
 * restarted under load without anybody noticing. README.md says how to install and check it.
 *
 * There is nothing about systemd in here: app.listen() finds the inherited socket by its address, and the plugin tells
 * systemd when the app is ready and when it is stopping. It runs from a shell just as well.
 */
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from 'fastify-drain'

const app = Fastify({ logger: true })

// TimeoutStopSec= of app.service is above hardStopAfter.
await app.register(drain, { hardStopAfter: 25_000 })

app.get('/', async () => ({ pid: process.pid }))

app.get('/slow', async () => {
  await sleep(2000)
  return { slow: true, pid: process.pid }
})

await app.listen({ host: process.env['HOST'] ?? '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
