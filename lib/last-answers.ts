import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Connection } from './connection.ts'
import { currentAnswer } from './protocols/http1.ts'
import { isStream } from './protocols/http2.ts'
import { transportOf } from './protocols/tls.ts'
import { watchRequests, type HttpServer } from './server.ts'

interface Waiting {
  connection: Connection
  /** The answer to the last request that has come. */
  latest: ServerResponse | null
}

/**
 * Waits, on each HTTP/1.x connection that it is given, for an answer that can say close: its head is not out, and no
 * other request has come behind its own. A client that pipelines gets all the answers that it has asked for by then.
 *
 * Requests are listened to only while somebody waits.
 */
export class LastAnswers {
  readonly #waiting = new Map<Socket, Waiting>()
  readonly #servers = new Set<HttpServer>()
  readonly #retire: (connection: Connection, answer: ServerResponse) => void
  #unwatch: Array<() => void> = []

  /** `retire`: the head of this answer is about to be written. */
  constructor (retire: (connection: Connection, answer: ServerResponse) => void) {
    this.#retire = retire
  }

  /** Its connections may be added. */
  watch (server: HttpServer): void {
    this.#servers.add(server)
    if (this.#waiting.size > 0) this.#listen(server)
  }

  add (connection: Connection): void {
    const waiting: Waiting = { connection, latest: null }
    this.#waiting.set(connection.transport, waiting)
    if (this.#waiting.size === 1) for (const server of this.#servers) this.#listen(server)
    const answer = currentAnswer(connection.socket)
    if (answer !== null && !answer.headersSent) this.#comes(waiting, answer)
  }

  /** Nobody waits on this socket any more. */
  delete (transport: Socket): void {
    if (this.#waiting.delete(transport) && this.#waiting.size === 0) this.stop()
  }

  stop (): void {
    this.#waiting.clear()
    for (const unwatch of this.#unwatch.splice(0)) unwatch()
  }

  #listen (server: HttpServer): void {
    this.#unwatch.push(watchRequests(server, (request: IncomingMessage, answer: ServerResponse) => {
      const waiting = isStream(answer) ? undefined : this.#waiting.get(transportOf(request.socket))
      if (waiting !== undefined) this.#comes(waiting, answer)
    }))
  }

  #comes (waiting: Waiting, answer: ServerResponse): void {
    const { connection } = waiting
    // An expectation brings the same request twice.
    if (waiting.latest === answer) return
    waiting.latest = answer
    beforeHead(answer, () => {
      if (waiting.latest !== answer || this.#waiting.get(connection.transport) !== waiting) return
      this.delete(connection.transport)
      // Where the client has asked for a close, or Node wants one, it comes by itself.
      if (answer.shouldKeepAlive) this.#retire(connection, answer)
    })
  }
}

function beforeHead (answer: ServerResponse, fn: () => void): void {
  const writeHead = answer.writeHead as (...args: unknown[]) => ServerResponse
  answer.writeHead = function (...args: unknown[]): ServerResponse {
    answer.writeHead = writeHead as typeof answer.writeHead
    fn()
    return (answer.writeHead as typeof writeHead)(...args)
  } as typeof answer.writeHead
}
