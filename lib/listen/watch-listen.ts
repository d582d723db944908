import { tracingChannel } from 'node:diagnostics_channel'
import type { Server } from 'node:net'
import type { ListenOptions } from './override.ts'

// Fastify copies the options of app.listen() for the second server that it makes for `localhost`, this mark with them.
const owner = Symbol('fastify-drain.owner')
const watching = Symbol('fastify-drain.watch')

interface ListenMessage {
  server: Server
  options: ListenOptions & { [owner]?: symbol }
}

interface Watch {
  main: Server
  id: symbol
  onListen (server: Server, options: ListenOptions): void
}

/**
 * Calls `onListen` with every server of an app when it begins to listen, before anything is bound, and with the options
 * that Node will read next:
 * its main server, and the one that `localhost` adds, which Fastify tells nobody about.
 *
 * It lasts as long as the main server: an app that is forgotten without ever being closed can be collected.
 */
export function watchListen (main: Server & { [watching]?: Watch }, onListen: (server: Server, options: ListenOptions) => void): void {
  main[watching] = { main, onListen, id: Symbol('app') }
  subscribe(new WeakRef(main[watching]))
}

function subscribe (ref: WeakRef<Watch>): void {
  const { asyncStart } = tracingChannel('net.server.listen')
  const listening = (message: unknown): void => {
    const watch = ref.deref()
    if (watch === undefined) return unsubscribe()
    const { server, options } = message as ListenMessage
    if (server === watch.main) options[owner] = watch.id
    if (options[owner] === watch.id) watch.onListen(server, options)
  }
  const unsubscribe = (): void => { asyncStart.unsubscribe(listening) }
  asyncStart.subscribe(listening)
}
