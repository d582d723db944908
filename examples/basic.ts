/*
 * The least that is needed: register the plugin, then listen.
 *
 *   curl -i http://127.0.0.1:3000/      while it runs
 *   kill -TERM <pid>                    in the middle of a request to /slow: it is answered, then the process ends
 */
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from 'fastify-drain'

const app = Fastify({ logger: true })

await app.register(drain)

app.get('/', async () => ({ hello: 'world' }))

app.get('/slow', async () => {
  await sleep(2000)
  return { slow: true }
})

await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
app.log.info(`pid ${process.pid}`)
