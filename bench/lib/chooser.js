import net from 'node:net'

/**
 * Stands for a load balancer of connections: it gives each new one to the next of its targets in turn, and passes the bytes on, FIN and RST
 * included, until both sides have ended.
 *
 * @param {number[]} targets ports on 127.0.0.1
 */
export async function startChooser (targets) {
  const sockets = new Set()
  let current = targets
  let next = 0

  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, client => {
    const upstream = net.connect({ port: current[next++ % current.length], host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    join(client, upstream)
    join(upstream, client)
  })
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, resolve)
  })

  return {
    port: server.address().port,

    /** From now on it has these targets. */
    choose (targets) {
      current = targets
      next = 0
    },

    close () {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  }

  function join (from, to) {
    sockets.add(from)
    from.pipe(to)
    from.once('error', () => to.resetAndDestroy())
    from.once('close', () => sockets.delete(from))
  }
}
