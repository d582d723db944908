import { fork } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { order } from './orders.js'

const giverFile = fileURLToPath(new URL('./descriptor-giver.js', import.meta.url))
const batch = 100

/**
 * Passes idle connections from one process to another, with Node alone.
 *
 * @param {object} options
 * @param {number} options.connections
 * @param {number | null} options.window how many at a time; null: as fast as Node takes them
 * @returns the milliseconds that it took
 */
export async function passDescriptors ({ connections, window }) {
  const giver = fork(giverFile)
  endWithParent(giver)
  const tell = (name, argument) => order(giver, 'The process that passes connections', name, argument)
  const sockets = []
  try {
    const port = await tell('listen')
    while (sockets.length < connections) {
      const some = Array.from({ length: Math.min(batch, connections - sockets.length) }, () => net.connect({ port, host: '127.0.0.1' }).on('error', () => {}))
      sockets.push(...some)
      await Promise.all(some.map(socket => once(socket, 'connect')))
    }
    return await tell('give', { count: connections, window: window ?? connections })
  } finally {
    const gone = once(giver, 'exit')
    giver.kill('SIGTERM')
    await gone
    for (const socket of sockets) socket.destroy()
  }
}
