import { Server as NetServer, Socket, type Server } from 'node:net'

/** Node's own handle of a socket. */
export interface Handle { close (): void }

interface ListenerHandle extends Handle {
  /** Called with everybody who is accepted. */
  onconnection (status: number, client: Handle): void
  unref (): void
}

interface WithHandle<T> { _handle?: T | null }

/** The handle of a socket or listener; `null`: it is closed. */
export function handleOf (owner: Socket | Server): Handle | null {
  return (owner as WithHandle<Handle>)._handle ?? null
}

/** Has `take` called with everybody who is accepted, and with what would have been done with him; until the returned function is called. */
export function divertAccepted (server: Server, take: (client: Handle, accept: () => void) => void): () => void {
  const { _handle: handle } = server as WithHandle<ListenerHandle>
  if (handle == null) return () => {}
  const accept = handle.onconnection
  handle.onconnection = (status, client) => {
    if (status === 0) take(client, () => accept.call(handle, status, client))
    else accept.call(handle, status, client)
  }
  return () => { handle.onconnection = accept }
}

/** Gives a server a connection that somebody else has accepted. */
export function connect (server: Server & { allowHalfOpen?: boolean, pauseOnConnect?: boolean }, handle: Handle): void {
  const { allowHalfOpen = false, pauseOnConnect = false } = server
  const options = { handle, allowHalfOpen, pauseOnCreate: pauseOnConnect, readable: true, writable: true }
  server.emit('connection', new Socket(options))
}

/** Stops listening without closing what it listens on: Node would take the file of a Unix socket away from whoever shares it. */
export function abandon (server: Server): void {
  const { _handle: handle } = server as WithHandle<ListenerHandle>
  // It has accepted whoever was there; from now on the others do.
  handle?.unref()
  ;(server as WithHandle<ListenerHandle>)._handle = null
  NetServer.prototype.close.call(server)
}
