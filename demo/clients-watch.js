import { subscribe, unsubscribe } from 'node:diagnostics_channel'

/** What the undici clients of this process see: their connections, who answers on each, and how long requests take. */
export function watchClients () {
  // The open connections, each with the process that has answered on it last.
  const connections = new Map()
  const requests = new WeakMap()
  const pids = new Set()
  let first = null
  let made = 0
  let longest = 0

  const channels = {
    'undici:client:connected' ({ socket }) {
      made++
      connections.set(socket, null)
      socket.once('close', () => connections.delete(socket))
    },
    'undici:request:create' ({ request }) {
      requests.set(request, { start: performance.now() })
    },
    'undici:client:sendHeaders' ({ request, socket }) {
      requests.get(request).socket = socket
    },
    'undici:request:headers' ({ request, response: { headers } }) {
      const { socket, start } = requests.get(request)
      longest = Math.max(longest, performance.now() - start)
      const at = headers.findIndex(text => String(text).toLowerCase() === 'x-pid')
      // A 503 of Fastify has none.
      if (at < 0) return
      const pid = Number(headers[at + 1])
      pids.add(pid)
      if (connections.has(socket)) connections.set(socket, pid)
    }
  }
  for (const [name, listener] of Object.entries(channels)) subscribe(name, listener)

  return {
    /** The connections that are open now are those to keep. */
    begin () { first = new Set(connections.keys()) },
    get kept () { return [...first ?? []].filter(socket => connections.has(socket)).length },
    get reconnects () { return first === null ? 0 : made - first.size },
    /** Every process that has answered, in the order of their first answers. */
    get pids () { return [...pids] },
    /** How many connections each of them has now. */
    get shares () {
      const holders = [...connections.values()]
      return [...pids].map(pid => [pid, holders.filter(holder => holder === pid).length]).filter(([, count]) => count > 0)
    },
    /** The longest time from a request to the head of its answer since the last call, in ms. */
    takeLongest () {
      const taken = longest
      longest = 0
      return taken
    },
    end () {
      for (const [name, listener] of Object.entries(channels)) unsubscribe(name, listener)
    }
  }
}
