import { Server as NetServer, type Server } from 'node:net'
import type { Clock } from '../clock.ts'

interface HttpServer extends Server {
  closeIdleConnections? (): void
}

/** Calls `stop`, which closes the listener, when that loses no connection. */
export type LeaveListener = (server: Server, stop: () => void) => Promise<void>

// New connections can come faster than we accept them, for ever. The queue holds 511 (Node's backlog), and first come is
// first served: whoever was in it at the beginning is accepted after that many turns, even at one in each.
const turnsAtMost = 512

/** Stops listening now, and leaves every connection alone. */
export function stopListening (server: HttpServer): void {
  // Fastify closes the second server of `localhost` in the ordinary way as soon as the first one emits 'close'.
  if ('closeIdleConnections' in server) server.closeIdleConnections = () => {}
  // Not http.Server's own close(), which destroys idle connections, requests in the kernel's buffer included.
  if (server.listening) NetServer.prototype.close.call(server)
}

/**
 * Resolves after a turn of the event loop in which nobody came: the kernel resets what waits in the accept queue of a
 * listener that closes.
 */
export async function acceptUntilQuiet (server: Server, clock: Clock): Promise<void> {
  let accepted = 0
  const count = (): void => { accepted++ }
  server.on('connection', count)
  try {
    for (let i = 0; i < turnsAtMost && server.listening; i++) {
      const before = accepted
      await new Promise<void>(resolve => clock.turn(resolve))
      if (accepted === before) return
    }
  } finally {
    server.off('connection', count)
  }
}
