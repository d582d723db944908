import { constants, type Http2ServerRequest, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'

const own = Symbol('fastify-drain.session')

type OwnSession = ServerHttp2Session & { [own]?: Session }

// How many streams may be opened before those that have closed are forgotten.
const atOnce = 32

/**
 * The HTTP/2 sessions of one app. A stream is remembered when it is opened, and looked at when many have been or somebody
 * wants to know: only those that are still open then are listened to. A listener for each would cost 2 to 4 % of the CPU
 * of a small request, and one list per session would keep the last ones that have closed.
 */
export class Sessions {
  #recent: Http2ServerRequest[] = []
  #enough = atOnce
  #newest: Http2ServerRequest | null = null
  /** How many streams one client has opened one behind the other, each while the one before was open. */
  #run = 0

  add (session: OwnSession): Session {
    session[own] = new Session(session, () => this.#collect())
    return session[own]
  }

  /** A stream was opened. */
  opened (request: Http2ServerRequest): void {
    const session = sessionOf(request)
    if (session === undefined) return
    session.used = true
    const follows = this.#newest !== null && sessionOf(this.#newest) === session
    this.#newest = request
    this.#run = follows ? this.#run + 1 : 1
    if (this.#recent.push(request) >= this.#enough) this.#collect()
    else if (this.#run > Math.max(1, session.peak)) this.#lookForRecord(session)
  }

  // Perhaps more are open than ever.
  #lookForRecord (session: Session): void {
    const before = session.peak
    this.#collect()
    this.#run = session.peak > before ? session.peak : 0
  }

  /** From now on sessions hear of each stream at once. */
  watch (): void {
    this.#enough = 0
    this.#collect()
  }

  #collect (): void {
    const open = this.#recent.filter(({ stream }) => !stream.destroyed)
    this.#recent = []
    if (this.#enough > 0) this.#enough = 2 * open.length + atOnce
    for (const request of open) sessionOf(request)?.opened(request)
  }
}

/** `undefined`: the stream has closed, or the session is nobody's. */
function sessionOf ({ stream: { session } }: Http2ServerRequest): Session | undefined {
  return (session as OwnSession | undefined)?.[own]
}

/** One HTTP/2 session and its open streams. */
export class Session {
  readonly session: ServerHttp2Session
  /** A stream was opened, or has closed. */
  onChange: ((change: 'opened' | 'closed') => void) | null = null
  /** Called for each stream that has ended well. */
  onServed: (() => void) | null = null
  /**
   * How many streams were ever seen to be open at the same time: all that a client opens one behind the other; of those that it
   * opens between the requests of others, what was there when somebody looked.
   */
  peak = 0
  /** It has had a request. */
  used = false
  readonly #collect: () => void
  readonly #open = new Map<ServerHttp2Stream, Http2ServerRequest>()

  /** `collect`: has `opened()` called for what was opened of late. */
  constructor (session: ServerHttp2Session, collect: () => void) {
    this.session = session
    this.#collect = collect
  }

  opened (request: Http2ServerRequest): void {
    const { stream } = request
    this.#open.set(stream, request)
    this.peak = Math.max(this.peak, this.#open.size)
    stream.on('close', () => this.#closed(stream))
    this.onChange?.('opened')
  }

  #closed (stream: ServerHttp2Stream): void {
    const isServed = stream.rstCode === constants.NGHTTP2_NO_ERROR
    // A session that broke takes its streams along; its last state is the one before.
    if (isServed || !this.session.destroyed) this.#open.delete(stream)
    if (isServed) this.onServed?.()
    this.onChange?.('closed')
  }

  /** How many streams are open. */
  get open (): number {
    this.#collect()
    return this.#open.size
  }

  get state (): 'active' | 'idle' {
    return this.open > 0 ? 'active' : 'idle'
  }

  /** The oldest request that is open. */
  describe (): { method: string | null, route: string | null } {
    this.#collect()
    const [oldest] = this.#open.values()
    const { ':method': method = null, ':path': path } = oldest?.headers ?? {}
    return { method, route: path?.split('?', 1)[0] ?? null }
  }
}

/** Whether this request or answer of Node's has a stream of HTTP/2. */
export function isStream (message: object): boolean {
  return 'stream' in message
}
