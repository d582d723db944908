import { tracingChannel } from 'node:diagnostics_channel'
import type { Server } from 'node:net'

interface ListenMessage {
  server: Server
  options: object
}

// Fastify copies the options of app.listen() for the second server that it makes for `localhost`, this mark with them.
const owner = Symbol('fastify-drain.owner')

/**
 * Calls `onListen` with every server of an app when it begins to listen, before it can accept anything:
 * its main server, and the one that `localhost` adds, which Fastify tells nobody about.
 * The returned function ends it.
 */
export function watchListen (main: Server, onListen: (server: Server) => void): () => void {
  const id = Symbol('app')
  const asyncStart = (message: unknown): void => {
    const { server, options } = message as ListenMessage & { options: { [owner]?: symbol } }
    if (server === main) options[owner] = id
    if (options[owner] === id) onListen(server)
  }
  const channel = tracingChannel('net.server.listen')
  channel.asyncStart.subscribe(asyncStart)
  return () => { channel.asyncStart.unsubscribe(asyncStart) }
}
