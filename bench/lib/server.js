// A server process: it inherits the listening socket of each of its apps, as descriptor 3 and up, and takes its orders over IPC.
import { buildApp } from './app.js'
import { logLoop } from './loop-log.js'
import { now } from './now.js'
import { answerOrders } from './orders.js'

const [variants, work, protocol, options] = process.argv.slice(2)
const apps = variants.split(',').map(variant => ({ variant, app: buildApp({ work: Number(work), protocol }) }))
const arrivals = []

answerOrders({
  load,
  listen,
  cpu: () => process.cpuUsage(),
  heap,
  log: file => logLoop(apps[0].app.server, file),
  /** From now on the first app remembers when connections came. */
  watchArrivals () { apps[0].app.server.on('connection', () => { arrivals.push(now()) }) },
  arrivals: () => arrivals
})
// Until it listens, only this keeps the process alive: the channel must not be what holds a drained server.
const awake = setInterval(() => {}, 60_000)
process.channel.unref()

async function load () {
  for (const { variant, app } of apps) {
    const { install } = await import(`../variants/${variant}.js`)
    await install(app, JSON.parse(options))
    await app.ready()
  }
}

async function listen () {
  // Without a host Fastify would listen on a second server for the other address of localhost.
  for (const [i, { app }] of apps.entries()) await app.listen({ fd: 3 + i, host: '127.0.0.1' })
  clearInterval(awake)
}

async function heap () {
  for (let i = 0; i < 5; i++) {
    globalThis.gc()
    // What one collection only marks as free, a turn of the loop lets go.
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return process.memoryUsage().heapUsed
}
