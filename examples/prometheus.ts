/*
 * A service and its metrics, which a second app serves on a port of their own: it still answers while the service drains.
 *
 *   curl http://127.0.0.1:3000/             the service
 *   curl http://127.0.0.1:9464/metrics      what Prometheus scrapes
 *   kill -TERM <pid>
 *
 * A Grafana dashboard for these metrics is in examples/grafana.
 */
import Fastify from 'fastify'
import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from 'fastify-drain'
import { drainMetrics } from 'fastify-drain/prometheus'
import { collectDefaultMetrics, register } from 'prom-client'

// How long the process waits for the last scrape, in ms: longer than scrape_interval.
const lastScrape = Number(process.env['LAST_SCRAPE'] ?? 5000)

const app = Fastify({ logger: true })
await app.register(drain, { hardStopAfter: 15_000 })
await app.register(drainMetrics, { labels: { app: 'public' } })
collectDefaultMetrics()

app.get('/', async () => ({ hello: 'world' }))
app.get('/slow', async () => {
  await sleep(2000)
  return { slow: true }
})

const admin = Fastify()
await admin.register(drain, { signals: false, idleGrace: 0 })
const scrapes = new EventEmitter()
admin.get('/metrics', async (_request, reply) => {
  scrapes.emit('scrape')
  reply.type(register.contentType)
  return await register.metrics()
})

// What the drain did is known when it is over: it is scraped once more, then the process ends.
app.addHook('onClose', async () => {
  await once(scrapes, 'scrape', { signal: AbortSignal.timeout(lastScrape) }).catch(() => app.log.warn('nobody has scraped the end'))
  await admin.close()
})

await admin.listen({ host: '127.0.0.1', port: Number(process.env['METRICS_PORT'] ?? 9464) })
await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
app.log.info(`metrics at ${admin.listeningOrigin}/metrics, pid ${process.pid}`)
