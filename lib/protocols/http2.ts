import { constants, type Http2ServerRequest, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Clock } from '../clock.ts'
import { requestLine, type RequestLine } from './request-line.ts'

/*
 * The open streams of an HTTP/2 session. Node keeps a list of them, which it documents nowhere; where it is missing each
 * stream is listened to from the beginning, which costs 2 to 4 % of the CPU of a small request.
 */

// How many streams of a session are looked at one after the other, and for how long none is then, in ms.
const looksInARow = 32
const pauseOfLooks = 1000

/** One HTTP/2 session and its open streams. */
export class Session {
  readonly session: ServerHttp2Session
  /** A stream was opened, or has closed; called from `watch()` on. */
  onChange: ((change: 'opened' | 'closed') => void) | null = null
  /** Called for each stream that has ended well, from `watch()` on. */
  onServed: (() => void) | null = null
  /** The most streams that were ever seen to be open at the same time. */
  peak = 0
  /** It has had a request. */
  used = false
  readonly #clock: Clock
  readonly #streams: ReadonlyMap<number, ServerHttp2Stream>
  /** What is open, and with what it began; `null`: nobody listens, Node knows. */
  #watched: Map<ServerHttp2Stream, IncomingHttpHeaders | undefined> | null = null
  #looks = 0
  #cancelPause = () => {}

  constructor (session: ServerHttp2Session, clock: Clock) {
    const streams = streamsOf(session)
    this.session = session
    this.#clock = clock
    this.#streams = streams ?? new Map()
    session.once('close', () => this.#cancelPause())
    if (streams === undefined) this.watch()
    else session.prependListener('stream', this.#look)
  }

  // Now and then, and not at every stream, which would cost a percent of the CPU of a small request.
  readonly #look = (): void => {
    this.used = true
    this.peak = Math.max(this.peak, this.#streams.size)
    if (++this.#looks < looksInARow) return
    this.session.off('stream', this.#look)
    this.#cancelPause = this.#clock.after(pauseOfLooks, () => {
      this.#looks = 0
      this.session.prependListener('stream', this.#look)
    })
  }

  /** From now on it hears of each stream at once. */
  watch (): void {
    if (this.#watched !== null) return
    this.#cancelPause()
    this.session.off('stream', this.#look)
    this.#watched = new Map()
    for (const stream of this.#streams.values()) this.#opened(stream, headersOf(stream))
    this.session.prependListener('stream', (stream, headers) => this.#opened(stream, headers))
  }

  #opened (stream: ServerHttp2Stream, headers: IncomingHttpHeaders | undefined): void {
    const watched = this.#watched as Map<ServerHttp2Stream, IncomingHttpHeaders | undefined>
    this.used = true
    // Node lists a stream before it tells of it, and one that its client resets at once is over by then.
    if (stream.destroyed || watched.has(stream)) return
    watched.set(stream, headers)
    this.peak = Math.max(this.peak, watched.size)
    stream.on('close', () => this.#closed(stream))
    this.onChange?.('opened')
  }

  #closed (stream: ServerHttp2Stream): void {
    const isServed = stream.rstCode === constants.NGHTTP2_NO_ERROR
    // A session that broke takes its streams along; its last state is the one before.
    if (isServed || !this.session.destroyed) this.#watched?.delete(stream)
    if (isServed) this.onServed?.()
    this.onChange?.('closed')
  }

  /** How many streams are open. */
  get open (): number {
    return (this.#watched ?? this.#streams).size
  }

  /** The open streams. */
  get streams (): ServerHttp2Stream[] {
    return [...this.#watched?.keys() ?? this.#streams.values()]
  }

  get state (): 'active' | 'idle' {
    return this.open > 0 ? 'active' : 'idle'
  }

  /** The oldest request that is open. */
  describe (): RequestLine {
    const { ':method': method, ':path': path } = this.#oldestHeaders() ?? {}
    return requestLine(method, path)
  }

  #oldestHeaders (): IncomingHttpHeaders | undefined {
    if (this.#watched !== null) return this.#watched.values().next().value
    const [oldest] = this.#streams.values()
    return oldest === undefined ? undefined : headersOf(oldest)
  }
}

/** Whether this request or answer of Node's has a stream of HTTP/2. */
export function isStream (message: object): boolean {
  return 'stream' in message
}

// By identifier, in the order in which they were opened.
function streamsOf (session: ServerHttp2Session): Map<number, ServerHttp2Stream> | undefined {
  return internal<{ streams?: Map<number, ServerHttp2Stream> }>(session, 'state')?.streams
}

// `undefined`: Node has not told of this stream yet.
function headersOf (stream: ServerHttp2Stream): IncomingHttpHeaders | undefined {
  return internal<Http2ServerRequest>(stream, 'request')?.headers
}

function internal<T> (owner: object, description: string): T | undefined {
  const key = Object.getOwnPropertySymbols(owner).find(symbol => symbol.description === description)
  return key === undefined ? undefined : (owner as Record<symbol, T>)[key]
}
