// A process with one or more replicas, each an app on a port of its own, which takes its orders over IPC.
import drain from '../../dist/esm/index.js'

import { buildApp } from './app.js'
import { answerOrders } from './orders.js'

const apps = []

answerOrders({
  /** Resolves with the ports. */
  async listen ({ count, protocol, maxConnectionAge }) {
    for (let i = 0; i < count; i++) {
      const app = buildApp({ protocol })
      await app.register(drain, { signals: false, maxConnectionAge })
      await app.listen({ port: 0, host: '127.0.0.1' })
      apps.push(app)
    }
    return apps.map(app => app.server.address().port)
  },

  /** How many connections each of them has that are not about to close. */
  connections: () => apps.map(({ drain: { connections } }) => connections.new + connections.active + connections.idle)
})
