import { constants, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'

const head = Symbol('fastify-drain.head')

type Stream = ServerHttp2Stream & { [head]?: IncomingHttpHeaders }

/**
 * One HTTP/2 session and its open streams. Until a drain watches it nobody listens for the end of a stream, which costs 3 to
 * 4 % of the CPU of a small request: those of late are remembered, and looked at when more may be open than ever.
 */
export class Session {
  readonly session: ServerHttp2Session
  /** A stream was opened, or, once it is watched, has closed. */
  onChange: ((change: 'opened' | 'closed') => void) | null = null
  /** How many streams were ever open at the same time. */
  peak = 0
  #late: Array<WeakRef<Stream>> = []
  readonly #watched = new Set<Stream>()
  #onServed: (() => void) | null = null

  constructor (session: ServerHttp2Session) {
    this.session = session
    // Before its handler, which may ask.
    session.prependListener('stream', (stream, headers) => this.#opened(stream, headers))
  }

  /** From now on `onServed` is called for each stream that has ended well, and the end of each is told. */
  watch (onServed: () => void): void {
    this.#onServed = onServed
    for (const stream of this.#unwatched()) this.#watch(stream)
    this.#late = []
  }

  #opened (stream: Stream, headers: IncomingHttpHeaders): void {
    stream[head] = headers
    if (this.#onServed === null) this.#late.push(new WeakRef(stream))
    else this.#watch(stream)
    if (this.#late.length + this.#watched.size > this.peak) this.peak = Math.max(this.peak, this.open)
    this.onChange?.('opened')
  }

  #watch (stream: Stream): void {
    this.#watched.add(stream)
    stream.on('close', () => this.#closed(stream))
  }

  #closed (stream: Stream): void {
    const isServed = stream.rstCode === constants.NGHTTP2_NO_ERROR
    // A session that broke takes its streams along; its last state is the one before.
    if (isServed || !this.session.destroyed) this.#watched.delete(stream)
    if (isServed) this.#onServed?.()
    this.onChange?.('closed')
  }

  // Forgets those that have closed.
  #unwatched (): Stream[] {
    const open = this.#late.map(ref => ref.deref()).filter(stream => stream !== undefined && !stream.destroyed) as Stream[]
    if (open.length < this.#late.length) this.#late = this.#late.filter(ref => ref.deref()?.destroyed === false)
    return open
  }

  /** It has had a stream. */
  get used (): boolean {
    return this.peak > 0
  }

  /** How many streams are open. */
  get open (): number {
    return this.#unwatched().length + this.#watched.size
  }

  get state (): 'active' | 'idle' {
    return this.open > 0 ? 'active' : 'idle'
  }

  /** The oldest request that is open. */
  describe (): { method: string | null, route: string | null } {
    const [oldest] = [...this.#watched, ...this.#unwatched()]
    const headers = oldest?.[head]
    return { method: headers?.[':method'] ?? null, route: headers?.[':path']?.split('?', 1)[0] ?? null }
  }
}

/** Whether this answer goes out on a stream of HTTP/2. */
export function isStream (answer: object): boolean {
  return 'stream' in answer
}
