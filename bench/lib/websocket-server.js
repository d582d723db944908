// A server of WebSockets: it inherits the listening socket as descriptor 3 and takes its orders over IPC.
import websocket from '@fastify/websocket'

import { buildApp } from './app.js'
import { answerOrders } from './orders.js'

const [variant, closeSpread] = process.argv.slice(2)
const app = buildApp(0)

answerOrders({ load, listen })
// Until it listens, only this keeps the process alive: the channel must not be what holds a drained server.
const awake = setInterval(() => {}, 60_000)
process.channel.unref()

async function load () {
  const { install } = await import(`../variants/websockets/${variant}.js`)
  await install(app, { closeSpread: Number(closeSpread) })
  app.register(websocket)
  app.register(async app => {
    app.get('/socket', { websocket: true }, socket => { socket.send(String(process.pid)) })
  })
  await app.ready()
}

async function listen () {
  await app.listen({ fd: 3, host: '127.0.0.1' })
  clearInterval(awake)
  return process.pid
}
