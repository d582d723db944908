import type { Socket } from 'node:net'

interface ResettableSocket extends Socket {
  resetAndClosing?: boolean
}

/**
 * The next destroy() of this socket sends RST and discards what was not sent, where that is possible.
 *
 * Node's resetAndDestroy() cannot be used: on Node 20 it first waits until everything is flushed, which a
 * peer that does not read prevents for ever. While a shutdown is pending libuv refuses to reset (EINVAL, and
 * Node would leak the descriptor), so such a socket is closed in the plain way.
 */
export function reset (socket: Socket): void {
  if (!('resetAndDestroy' in socket) || isShuttingDown(socket)) return
  (socket as ResettableSocket).resetAndClosing = true
}

function isShuttingDown (socket: Socket): boolean {
  return socket.writableEnded && !socket.writableFinished
}
