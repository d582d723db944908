import { once } from 'node:events'
import net from 'node:net'

/**
 * A listening socket on a port of its own that several server processes inherit.
 *
 * Old and new instance then share one accept queue, which no restart ever closes. What a measurement
 * sees is what happens to the live connections, not what happens to the queue.
 *
 * Call `close()` as soon as every process has been spawned and before the first client connects:
 * until then this process would accept connections as well.
 */
export async function openListener () {
  const server = net.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  // Node has no public way to name the descriptor of a listening socket.
  const fd = server._handle?.fd
  if (!(fd >= 0)) {
    server.close()
    throw new Error('Here a process cannot inherit a listening socket: run this on Linux, macOS or a BSD')
  }

  return {
    port: server.address().port,
    fd,
    close: () => new Promise(resolve => server.close(resolve))
  }
}
