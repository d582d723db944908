// Accepts connections and passes them to a child: with Node alone, what a handover cannot be faster than.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { answerOrders } from './orders.js'

const taker = fork(fileURLToPath(new URL('./descriptor-taker.js', import.meta.url)))
endWithParent(taker)
const ready = once(taker, 'message')
const sockets = []
const server = net.createServer(socket => {
  sockets.push(socket.on('error', () => {}))
  server.emit('accepted')
})

answerOrders({
  async listen () {
    await ready
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
    await once(server, 'listening')
    return server.address().port
  },

  /** Passes so many connections, `window` at a time, and returns how many milliseconds it took until the child had the last one. */
  async give ({ count, window }) {
    while (sockets.length < count) await once(server, 'accepted')
    const start = performance.now()
    for (let given = 0; given < count; given += window) await pass(sockets.slice(given, Math.min(count, given + window)))
    return performance.now() - start
  }
})

/** Resolves when the child has all of them. */
function pass (some) {
  return new Promise(resolve => {
    let left = some.length
    taker.on('message', onHas)
    for (const socket of some) taker.send('yours', socket)

    function onHas () {
      if (--left > 0) return
      taker.off('message', onHas)
      resolve()
    }
  })
}
