import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { hiddenOn } from './hidden.ts'

/** Open streams: Node's Map of them, or a Set. */
interface OpenStreams {
  readonly size: number
  values (): Iterable<ServerHttp2Stream>
}

/** The part of a request on a stream that is used. */
interface StreamRequest {
  readonly method: string
  readonly url: string
}

/**
 * One HTTP/2 session and its open streams. Until a drain watches it they are those that Node keeps for itself, because
 * listening for the end of every stream costs 3 to 4 % of the CPU of a small request.
 */
export class Session {
  readonly session: ServerHttp2Session
  /** A stream was opened, or, once it is watched, has closed. */
  onChange: ((change: 'opened' | 'closed') => void) | null = null
  /** How many streams were ever open at the same time. */
  peak = 0
  #streams: OpenStreams
  readonly #watched = new Set<ServerHttp2Stream>()
  #onServed = (): void => {}

  constructor (session: ServerHttp2Session) {
    this.session = session
    this.#streams = streamsOf(session) ?? this.#watched
    // Before its handler, which may ask.
    session.prependListener('stream', stream => this.#opened(stream))
  }

  /** From now on `onServed` is called for each stream that has ended well, and the end of each is told. */
  watch (onServed: () => void): void {
    for (const stream of this.#streams.values()) this.#watch(stream)
    this.#streams = this.#watched
    this.#onServed = onServed
  }

  #opened (stream: ServerHttp2Stream): void {
    if (this.#streams === this.#watched) this.#watch(stream)
    if (this.open > this.peak) this.peak = this.open
    this.onChange?.('opened')
  }

  #watch (stream: ServerHttp2Stream): void {
    // One that was open when the session began to be watched may be announced after that.
    if (this.#watched.has(stream) || stream.destroyed) return
    this.#watched.add(stream)
    stream.on('close', () => this.#closed(stream))
  }

  #closed (stream: ServerHttp2Stream): void {
    const isServed = stream.rstCode === constants.NGHTTP2_NO_ERROR
    // A session that broke takes its streams along; its last state is the one before.
    if (isServed || !this.session.destroyed) this.#watched.delete(stream)
    if (isServed) this.#onServed()
    this.onChange?.('closed')
  }

  /** It has had a stream. */
  get used (): boolean {
    return this.peak > 0
  }

  /** How many streams are open. */
  get open (): number {
    return this.#streams.size
  }

  get state (): 'active' | 'idle' {
    return this.open > 0 ? 'active' : 'idle'
  }

  /** The oldest request that is open. */
  describe (): { method: string | null, route: string | null } {
    const [oldest] = this.#streams.values()
    const request = oldest === undefined ? null : requestOn(oldest)
    return { method: request?.method ?? null, route: request?.url.split('?', 1)[0] ?? null }
  }
}

/** The streams that Node counts as open on this session; `null`: this Node keeps them elsewhere, and they are counted instead. */
export function streamsOf (session: object): OpenStreams | null {
  return hiddenOn<{ streams: OpenStreams }>(session, ({ streams }) => typeof streams?.size === 'number' && typeof streams.values === 'function')?.streams ?? null
}

// The request that Node's compatibility API, through which Fastify answers, has made of a stream.
function requestOn (stream: object): StreamRequest | null {
  return hiddenOn<StreamRequest>(stream, ({ method, url }) => typeof method === 'string' && typeof url === 'string')
}

/** Whether this answer goes out on a stream of HTTP/2. */
export function isStream (answer: object): boolean {
  return 'stream' in answer
}
