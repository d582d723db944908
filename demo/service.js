// What `npm run demo -- --handover` restarts. With the plugin it listens on a port of its own; without it listens on
// descriptor 3 when it is told to, so that a successor can listen beside it.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

import Fastify from 'fastify'

const maxTime = 300_000
const hasPlugin = process.argv[2] === 'true'
const work = Number(process.argv[3])
const report = process.argv[4]

const app = Fastify({ logger: true })
if (hasPlugin) {
  const { default: drain } = await import('fastify-drain')
  await app.register(drain, { handover: true, report: report === undefined ? false : { file: report } })
} else {
  process.once('SIGTERM', () => app.close().then(() => process.exit(0)))
}

const quiet = { logLevel: 'warn' }
app.addHook('preHandler', async (request, reply) => {
  reply.header('x-pid', process.pid)
  await sleep(work)
})
app.get('/items/:id', quiet, async request => ({ id: request.params.id }))
app.post('/items', quiet, async request => request.body)

if (!hasPlugin) {
  await app.ready()
  await once(process, 'message')
  process.disconnect()
}
await app.listen(hasPlugin ? { port: 0, host: '127.0.0.1' } : { fd: 3, host: '127.0.0.1' })
// In case nobody is left to end it.
setTimeout(() => process.exit(1), maxTime).unref()
