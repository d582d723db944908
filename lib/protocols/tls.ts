import type { Socket } from 'node:net'

/** The TCP socket below a TLSSocket, which Node documents nowhere; any other socket is its own transport. */
export function transportOf (socket: Socket & { _parent?: Socket | null }): Socket {
  return socket._parent ?? socket
}
