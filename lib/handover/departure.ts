import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server } from 'node:net'
import type { Connection } from '../connection.ts'
import type { Connections } from '../connections.ts'
import { divertAccepted } from '../os/handle.ts'
import * as http1 from '../protocols/http1.ts'
import { isStream } from '../protocols/http2.ts'
import { requestsOn, watchRequests } from '../server.ts'
import type { Movable, Mover } from './mover.ts'

/**
 * Lets the connections of one app go to a successor, each when nothing is open on it, and new ones unread. Whoever cannot
 * go, because a protocol has its state in this process, is left alone.
 *
 * The returned function ends that: what is still here stays.
 */
export function depart (connections: Connections, mover: Mover, listenerOf: (server: Server) => number | undefined): () => void {
  const undo: Array<() => void> = []
  const items = new Map<Connection, Movable>()

  connections.leaves = connection => listenerOf(connection.server as Server) !== undefined && connection.canMove
  for (const server of connections.servers) {
    const listener = listenerOf(server)
    if (listener === undefined) continue
    undo.push(forwardNew(server, listener, mover))
    undo.push(watchRequests(server, (request: IncomingMessage, answer: ServerResponse) => {
      if (!isStream(answer)) moveAfter(answer, connections.find(request.socket))
    }))
  }
  for (const connection of connections.all()) move(connection)
  return () => {
    for (const each of undo) each()
    connections.stay()
  }

  function move (connection: Connection): void {
    if (!connections.leaves(connection)) return
    if (connection.isFree) return mover.offer(itemOf(connection))
    // A half-received head: its request comes.
    const open = http1.currentAnswer(connection.socket) ?? http1.incompleteRequest(connection.socket)
    if (open !== null) moveAfter(open, connection)
  }

  function moveAfter (open: IncomingMessage | ServerResponse, connection: Connection | undefined): void {
    if (connection !== undefined) open.once('close', () => move(connection))
  }

  function itemOf (connection: Connection): Movable {
    const known = items.get(connection)
    if (known !== undefined) return known
    const item = movable(connection, listenerOf(connection.server as Server) as number)
    items.set(connection, item)
    connection.transport.once('close', () => {
      items.delete(connection)
      mover.forget(item)
    })
    return item
  }
}

function movable (connection: Connection, listener: number): Movable {
  return {
    listener,
    get handle () { return connection.handle },
    get isFree () { return connection.isFree },
    describe: () => ({ age: connection.age, requests: requestsOn(connection.socket), isFresh: connection.state === 'new' }),
    release: () => connection.handOver(),
    keep: () => {}
  }
}

// They wait for the successor instead of in the accept queue of a listener that is about to close.
function forwardNew (server: Server, listener: number, mover: Mover): () => void {
  return divertAccepted(server, (client, accept) => {
    const since = performance.now()
    mover.offer({
      listener,
      handle: client,
      isFree: true,
      describe: () => ({ age: Math.round(performance.now() - since), requests: 0, isFresh: true }),
      release: () => client.close(),
      keep: accept
    })
  })
}
