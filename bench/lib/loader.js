// The load process: it keeps connections to several servers and takes its orders over IPC.
import { answerOrders } from './orders.js'
import { openConnections } from './raw-load.js'

const sets = new Map()

answerOrders({
  async open ({ port, count, protocol }) {
    sets.set(port, await openConnections({ port, count, protocol }))
  },

  async run ({ port, requests }) {
    await sets.get(port).run(requests)
  },

  async close ({ port }) {
    await sets.get(port).close()
    sets.delete(port)
  }
})
