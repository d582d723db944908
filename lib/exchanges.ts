import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Connection } from './connection.ts'
import type { Observer } from './observer.ts'
import { isStream } from './protocols/http2.ts'
import { watchRequests, type HttpServer } from './server.ts'

/** Tells the observer of each request and stream. Each costs a little then, so only once somebody wants to know. */
export class Exchanges {
  readonly #observer: Observer
  readonly #find: (socket: Socket) => Connection | undefined
  #isWatching = false

  constructor (observer: Observer, find: (socket: Socket) => Connection | undefined) {
    this.#observer = observer
    this.#find = find
  }

  /** What is open already is told of as well. */
  begin (servers: Iterable<HttpServer>, open: () => Connection[]): void {
    if (this.#isWatching) return
    this.#isWatching = true
    for (const server of servers) this.watchServer(server)
    for (const connection of open()) {
      this.watchSession(connection)
      for (const exchange of connection.exchanges) this.#tellOfEnd(connection, exchange)
    }
  }

  watchServer (server: HttpServer): void {
    if (!this.#isWatching) return
    watchRequests(server, (request: IncomingMessage, answer: ServerResponse) => {
      const connection = isStream(answer) ? undefined : this.#find(request.socket)
      if (connection !== undefined) this.#tellOf(connection, answer)
    })
  }

  watchSession (connection: Connection): void {
    if (this.#isWatching) connection.session?.session.prependListener('stream', stream => this.#tellOf(connection, stream))
  }

  #tellOf (connection: Connection, exchange: ServerResponse | ServerHttp2Stream): void {
    if (!this.#observer.wantsStates) return
    this.#tellSoon(connection)
    this.#tellOfEnd(connection, exchange)
  }

  #tellOfEnd (connection: Connection, exchange: ServerResponse | ServerHttp2Stream): void {
    exchange.once('close', () => {
      this.#tellSoon(connection)
      // Answered early: what is left of the request is still coming.
      if ('req' in exchange && !exchange.req.complete) exchange.req.once('end', () => this.#tellSoon(connection))
    })
  }

  // Behind all who listen to the same event, and count streams by it.
  #tellSoon (connection: Connection): void {
    process.nextTick(() => this.#observer.changed(connection))
  }
}
