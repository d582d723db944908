import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2Session, ServerHttp2Session } from 'node:http2'
import { Socket, type Server } from 'node:net'
import { Server as TlsServer } from 'node:tls'

export interface HttpServer extends Server {
  httpAllowHalfOpen?: boolean
  maxRequestsPerSocket?: number | null
  keepAliveTimeout?: number
  headersTimeout?: number
  requestTimeout?: number
  timeout?: number
  /** Newer versions of Node wait this much longer than they say. */
  keepAliveTimeoutBuffer?: number
}

export interface ServerEvents {
  /** A connection was accepted; `handshake`: it begins with that of TLS. */
  opened (socket: Socket, handshake: boolean): void
  secured (socket: Socket): void
  sessionOpened (session: ServerHttp2Session): void
  /** It speaks another protocol from now on, or is about to. */
  upgraded (socket: Socket): void
  /** Nothing happened for as long as the server allows, and nobody else decides what that means. */
  timedOut (socket: Socket): void
  /** Somebody is about to answer a request that could not be parsed, and then to destroy the socket. */
  broken (socket: Socket): void
}

/** Hears of every connection of one server, and takes over the closes that Node would do abruptly. */
export function watchServer (server: HttpServer, events: ServerEvents): void {
  // First in line, so that the socket is known when an HTTP/2 server makes a session of it.
  const handshake = server instanceof TlsServer
  server.prependListener('connection', socket => events.opened(socket, handshake))
  server.prependListener('secureConnection', events.secured)
  server.on('session', events.sessionOpened)
  if (!isHttp1(server)) return

  // Where somebody listens Node does not destroy the socket, at keepAliveTimeout for example.
  server.on('timeout', (subject: Socket | ServerHttp2Session) => {
    if (server.listenerCount('timeout') > 1) return
    if (subject instanceof Socket) events.timedOut(subject)
    else subject.destroy()
  })
  // Where nobody listens Node gives an answer of its own; that stays so.
  if (server.listenerCount('clientError') > 0) {
    server.prependListener('clientError', (_error, socket) => events.broken(socket))
  }
  if (limitsRequests(server)) server.prependListener('request', limitRequests)
  for (const event of ['upgrade', 'connect']) watchUpgrades(server, event, events)
}

// Only where somebody listens: without a listener Node answers such a request in the ordinary way.
function watchUpgrades (server: HttpServer, event: string, { upgraded }: ServerEvents): void {
  if (server.listenerCount(event) > 0) return watch()
  server.on('newListener', added)

  function added (name: string | symbol): void {
    if (name === event) watch()
  }

  function watch (): void {
    server.off('newListener', added)
    server.prependListener(event, (_request, socket: Socket) => {
      // Node takes its own listener away, and the error of a peer that has vanished would end the process if nobody listened.
      socket.on('error', ignore)
      upgraded(socket)
    })
  }
}

function ignore (): void {}

/** Calls `retire` with every request that comes from now on, before anybody can answer it, until the returned function is called. */
export function watchRequests (server: HttpServer, retire: (request: IncomingMessage, answer: ServerResponse) => void): () => void {
  const events = ['request']
  if (isHttp1(server)) {
    if (server.listenerCount('checkContinue') > 0) events.push('checkContinue')
    // Node refuses an unknown expectation without a word to anybody, and keeps the connection alive.
    if (server.listenerCount('checkExpectation') === 0) server.on('checkExpectation', refuseExpectation)
    events.push('checkExpectation')
  }
  for (const event of events) server.prependListener(event, retire)
  return () => { for (const event of events) server.off(event, retire) }
}

// An HTTP/2 server speaks HTTP/1.x too where allowHTTP1 is set, and then has these settings.
function isHttp1 (server: HttpServer): boolean {
  return 'headersTimeout' in server
}

function limitsRequests ({ maxRequestsPerSocket: limit }: HttpServer): boolean {
  return typeof limit === 'number' && limit > 0
}

// Only where they are limited: a request costs nothing elsewhere.
const requests = Symbol('fastify-drain.requests')

type CountedSocket = Socket & { [requests]?: number }

/** How many requests a connection has brought; 0 where nobody limits them. */
export function requestsOn (socket: CountedSocket): number {
  return socket[requests] ?? 0
}

/** A connection has brought requests to another process before. */
export function addRequests (socket: CountedSocket, count: number): void {
  socket[requests] = requestsOn(socket) + count
}

/**
 * Calls `reached` with the `limit`th request of each connection, and with those behind it, before anybody can answer them. A stream of
 * HTTP/2 is a request; its identifier says how many there were, as clients leave none out. To be called before `watchServer()`.
 */
export function countRequests (server: HttpServer, limit: number, reached: {
  answer (socket: Socket, answer: ServerResponse): void
  stream (session: Http2Session): void
}): void {
  server.prependListener('request', (request: IncomingMessage | Http2ServerRequest, answer: ServerResponse) => {
    if ('stream' in request) {
      const { id = 0, session } = request.stream
      if (id >= 2 * limit - 1 && session !== undefined) reached.stream(session)
      return
    }
    // limitRequests() has come first then, and has counted it.
    if (!limitsRequests(server)) addRequests(request.socket, 1)
    if (requestsOn(request.socket) >= limit) reached.answer(request.socket, answer)
  })
}

// Node says `Connection: close` with the last answer, and then waits for the client to close.
function limitRequests (this: HttpServer, { socket }: IncomingMessage, answer: ServerResponse & { maxRequestsOnConnectionReached?: boolean }): void {
  addRequests(socket, 1)
  if (requestsOn(socket) >= (this.maxRequestsPerSocket as number)) answer.maxRequestsOnConnectionReached = true
  if (answer.maxRequestsOnConnectionReached === true) answer.shouldKeepAlive = false
}

// Of a connection that another process has accepted, in ms.
const beforeHeadersTimeout = 1000

/** How long a connection may stay idle that has been for `silence` ms already, in ms; `null`: for ever. */
export function idleTime ({ keepAliveTimeout = 0, keepAliveTimeoutBuffer = 0, headersTimeout = 0 }: HttpServer, silence: number): number | null {
  const limits = [
    keepAliveTimeout > 0 ? Math.max(0, keepAliveTimeout + keepAliveTimeoutBuffer - silence) : Infinity,
    // Node takes it for a new connection, which has to bring a head by then, and would answer its silence with 408.
    headersTimeout > 0 ? headersTimeout - Math.min(beforeHeadersTimeout, headersTimeout / 2) : Infinity
  ]
  const limit = Math.min(...limits)
  return limit === Infinity ? null : limit
}

function refuseExpectation (_request: IncomingMessage, answer: ServerResponse): void {
  answer.writeHead(417)
  answer.end()
}
