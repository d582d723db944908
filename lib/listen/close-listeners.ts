import { Server as NetServer, type Server } from 'node:net'
import type { Clock } from '../clock.ts'

interface HttpServer extends Server {
  closeIdleConnections? (): void
}

// New connections can come faster than we accept them, for ever. The queue holds 511 (Node's backlog), and first come is
// first served: whoever was in it at the beginning is accepted after that many turns, even at one in each.
const turnsAtMost = 512

/**
 * Stops listening and leaves every connection alone. The kernel resets what waits in the accept queue of a
 * listener that closes, so it is closed after a turn of the event loop in which nobody came.
 */
export async function closeListeners (servers: Iterable<Server>, accepted: () => number, clock: Clock): Promise<void> {
  await quietTurn(accepted, clock)
  stopListening(servers)
}

/** Stops listening now. */
export function stopListening (servers: Iterable<Server>): void {
  for (const server of servers) {
    keepIdleConnections(server)
    // Not http.Server's own close(), which destroys idle connections, requests in the kernel's buffer included.
    if (server.listening) NetServer.prototype.close.call(server)
  }
}

async function quietTurn (accepted: () => number, clock: Clock): Promise<void> {
  for (let i = 0; i < turnsAtMost; i++) {
    const before = accepted()
    await new Promise<void>(resolve => clock.turn(resolve))
    if (accepted() === before) return
  }
}

// Fastify closes the second server of `localhost` in the ordinary way as soon as the first one emits 'close'.
function keepIdleConnections (server: HttpServer): void {
  if ('closeIdleConnections' in server) server.closeIdleConnections = () => {}
}
