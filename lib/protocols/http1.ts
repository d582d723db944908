import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server, Socket } from 'node:net'
import { isReading, restartReads } from './reads.ts'
import { requestLine, type RequestLine } from './request-line.ts'

/*
 * What Node's HTTP/1.x server knows about a socket, asked only when a drain needs it, and how to take
 * the socket out of its hands. Everything here that is not documented by Node is feature-detected.
 */

interface Parser {
  incoming: IncomingMessage | null
  onIncoming: (request: IncomingMessage & { upgrade?: boolean }) => number
  finish (): unknown
  remove? (): void
}

interface HttpSocket extends Socket {
  server?: Server
  parser?: Parser | null
  _httpMessage?: Answer | null
}

interface Answer extends ServerResponse {
  _header?: string | null
  _hasBody?: boolean
  _last?: boolean
  maxRequestsOnConnectionReached?: boolean
  _removedConnection?: boolean
}

export type Http1State = 'active' | 'idle' | 'upgraded'

/** How an answer left its connection. */
export type AnswerEnd =
  'says-close' | // the client knows that no further request will be answered here
  'ended-by-fin' | // the body has no length: only our FIN tells the client that it is complete
  'keeps-alive' // its head was sent before the drain began

/** Whether the HTTP/1.x server of Node has, or had, this socket. */
export function isHttp1 (socket: Socket): boolean {
  return 'parser' in socket
}

/** The server whose connection it is. */
export function serverOf (socket: Socket): Server | undefined {
  return (socket as HttpSocket).server
}

function isUpgraded ({ parser }: HttpSocket): boolean {
  return parser == null
}

/** The state of a connection that has received at least one byte. */
export function stateOf (socket: Socket): Http1State {
  const { parser, _httpMessage: answer } = socket as HttpSocket
  if (parser == null) return 'upgraded'
  return answer != null || isReceiving(parser) ? 'active' : 'idle'
}

// A request is half-received when its body is incomplete or when an end of input would come too early
// here. The parser keeps that knowledge to itself, but finish(), which is what Node calls when the input
// ends, answers the question with an error and changes nothing.
function isReceiving (parser: Parser): boolean {
  return parser.incoming?.complete === false || parser.finish() instanceof Error
}

/** The request whose body is still arriving. */
export function incompleteRequest (socket: Socket): IncomingMessage | null {
  const request = (socket as HttpSocket).parser?.incoming
  return request?.complete === false ? request : null
}

/** What is being answered on this socket. */
export function describe (socket: Socket): RequestLine {
  const request = (socket as HttpSocket)._httpMessage?.req
  return requestLine(request?.method, request?.url)
}

/**
 * Takes the place of end() on a socket. Node's HTTP server calls that when the client has half-closed, and drops the
 * answers that are under way; here they go out first.
 */
export function endAfterAnswers (this: Socket, ...args: unknown[]): Socket {
  // An answer that was there for the handshake of a WebSocket is never finished.
  const answer = this.readableEnded && args.length === 0 && !isUpgraded(this) ? currentAnswer(this) : null
  if (answer === null || isEventStream(answer)) return Object.getPrototypeOf(this).end.apply(this, args)
  answer.once('finish', () => this.end())
  return this
}

// Its reader never half-closes: a FIN means that it is gone, and the handler, which may have nothing to write
// for a long time, must hear of it.
function isEventStream ({ _header: head }: Answer): boolean {
  return typeof head === 'string' && /\r\ncontent-type: *text\/event-stream/i.test(head)
}

/**
 * Whether someone else decides what a timeout of this socket means, by Node's rules: listeners of the
 * request or of the answer.
 */
export function handlesTimeout (socket: Socket): boolean {
  const request = incompleteRequest(socket)
  return (request?.listenerCount('timeout') ?? 0) + (currentAnswer(socket)?.listenerCount('timeout') ?? 0) > 0
}

/** The answer that is being written to this socket. */
export function currentAnswer (socket: Socket): ServerResponse | null {
  return (socket as HttpSocket)._httpMessage ?? null
}

/**
 * Makes this answer, and those pipelined behind it, the last of the connection: each says
 * `Connection: close` where its head is not out yet, and no further request is executed.
 * `onServed` is called for each of them, `onEnd` after the last.
 */
export function makeLast (socket: Socket, answer: ServerResponse, onServed: () => void, onEnd: (end: AnswerEnd) => void): void {
  sayClose(socket, answer)
  answer.once('finish', () => {
    onServed()
    const pipelined = currentAnswer(socket)
    if (pipelined === null) return onEnd(endOf(answer))
    // The client has read of the close already, whatever the head behind it says.
    makeLast(socket, pipelined, onServed, end => onEnd(end === 'keeps-alive' ? endOf(answer) : end))
  })
}

/** Makes this answer say `Connection: close` if its head is not out yet. */
export function sayClose (socket: Socket, answer: Answer): void {
  if (!answer.headersSent) {
    // With shouldKeepAlive = false, or an explicit header, Node would drop the answers that are pipelined
    // behind this one. This flag only writes the header, and leaves the closing to us.
    if ('maxRequestsOnConnectionReached' in answer) answer.maxRequestsOnConnectionReached = true
    else (answer as ServerResponse).shouldKeepAlive = false
    overrideConnectionHeader(answer)
  }
  if (!answer.headersSent || endOf(answer) !== 'keeps-alive') refuseFurtherRequests(socket)
}

function endOf ({ _hasBody: hasBody, _header: head }: Answer): AnswerEnd {
  if (typeof head !== 'string') return 'says-close'
  if (hasBody === true && !/\r\n(?:content-length|transfer-encoding):/i.test(head)) return 'ended-by-fin'
  return /\r\nconnection:[^\r]*close/i.test(head) ? 'says-close' : 'keeps-alive'
}

// Handlers that set `Connection: keep-alive` themselves (hand-written SSE, proxies that copy the header
// of their upstream) would contradict us, and those that remove it would keep it from the client.
function overrideConnectionHeader (answer: Answer): void {
  const writeHead = answer.writeHead as (...args: unknown[]) => ServerResponse
  answer.writeHead = function (...args: unknown[]): ServerResponse {
    if (answer.hasHeader('connection') || answer._removedConnection === true) answer.setHeader('connection', 'close')
    writeHead.apply(answer, args.map(arg => typeof arg === 'object' && arg !== null ? withClose(arg) : arg))
    // After an answer with an explicit close Node drops those that are pipelined behind it.
    if (endOf(answer) === 'says-close') answer._last = false
    return answer
  } as typeof answer.writeHead
}

function withClose (headers: object): object {
  if (!Array.isArray(headers)) {
    return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, isConnection(name) ? 'close' : value]))
  }
  if (Array.isArray(headers[0])) {
    return headers.map(([name, value]) => [name, isConnection(name) ? 'close' : value])
  }
  return headers.map((item, i) => i % 2 === 1 && isConnection(headers[i - 1]) ? 'close' : item)
}

function isConnection (name: unknown): boolean {
  return String(name).toLowerCase() === 'connection'
}

// RFC 9112 section 9.6: a server that said close must not process any further request it received.
function refuseFurtherRequests (socket: Socket): void {
  const { parser } = socket as HttpSocket
  if (parser == null) return
  parser.onIncoming = request => {
    request.upgrade = false
    return 0
  }
}

/**
 * Takes the socket away from the parser: whatever still arrives is read and discarded, and can neither
 * start a request nor raise a parse error that Fastify would answer with a 400.
 */
export function discardInput (socket: Socket): void {
  const { parser } = socket as HttpSocket
  parser?.remove?.()
  socket.removeAllListeners('data')
  socket.removeAllListeners('end')
  // The listener is what makes Node's HTTP server unhook its parser from the socket.
  socket.on('data', discard)
  // Backpressure of an unread body stops the reads below the stream, which does not know of it.
  if (!isReading(socket)) restartReads(socket)
  socket.resume()
}

function discard (): void {}
