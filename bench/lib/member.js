// A server process that makes its own listening socket, and takes its orders over IPC.
import { buildApp } from './app.js'
import { answerOrders } from './orders.js'

const host = '127.0.0.1'
const [variantFile, settings = '{}'] = process.argv.slice(2)
const { work, ...options } = JSON.parse(settings)
const app = buildApp({ work })
// Whoever asks can tell the members of a group apart.
app.addHook('onRequest', async (request, reply) => { reply.header('x-member', process.pid) })

let variant
answerOrders({ load, listen })
// Until it listens, only this keeps the process alive: the channel must not be what holds a drained server.
const awake = setInterval(() => {}, 60_000)
process.channel.unref()

async function load () {
  variant = await import(variantFile)
  await variant.install(app, options)
  await app.ready()
}

/** Resolves with the port. */
async function listen (port) {
  const address = { host, port }
  await (variant.listen ? variant.listen(app, address, options) : app.listen(address))
  clearInterval(awake)
  return { pid: process.pid, port: app.server.address().port }
}
