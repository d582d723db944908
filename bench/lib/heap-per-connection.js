import { startServer } from './lone-server.js'

const warmUp = 200

/** Heap of one idle connection that has made one request, in bytes, in a fresh server process. */
export async function measureHeap (variant, { protocol, connections, load }) {
  const server = await startServer(variant, { protocol, execArgv: ['--expose-gc'] })
  try {
    // What the first requests create once does not belong to the connections.
    await load.open(server.port, warmUp, protocol)
    await load.close(server.port)
    const before = await server.heap()
    await load.open(server.port, connections, protocol)
    const after = await server.heap()
    await load.close(server.port)
    return (after - before) / connections
  } finally {
    await server.kill()
  }
}
