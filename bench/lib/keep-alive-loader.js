// A process full of keep-alive clients, which takes its orders over IPC.
import { startKeepAliveLoad } from './keep-alive-load.js'
import { answerOrders } from './orders.js'

let load

answerOrders({
  async open (options) {
    load = startKeepAliveLoad(options)
    await load.open()
  },

  /** Of each of these times: how long the requests took, and how late this process itself was. */
  async during (windows) {
    return windows.map(window => ({ times: load.times.during(window), lags: load.lags.during(window) }))
  },

  counts: () => load.counts,
  stop: () => load.stop()
})
