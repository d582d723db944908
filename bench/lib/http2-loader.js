// A load process: it keeps HTTP/2 sessions busy and takes its orders over IPC.
import { startHttp2Load } from './http2-load.js'
import { answerOrders } from './orders.js'

let load

answerOrders({
  async start (options) {
    load = startHttp2Load(options)
    await load.warm
  },
  stop: () => load.stop()
})
