import { constants, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'

/**
 * One HTTP/2 session and its open streams. Node keeps them to itself, so they are counted here, one listener for
 * each session and each stream.
 */
export class Session {
  readonly session: ServerHttp2Session
  /** A stream was opened, or has closed. */
  onChange: ((change: 'opened' | 'closed') => void) | null = null
  /** How many streams were ever open at the same time. */
  peak = 0
  readonly #streams = new Map<ServerHttp2Stream, IncomingHttpHeaders>()

  /** `onServed`: a stream has ended well. */
  constructor (session: ServerHttp2Session, onServed: () => void) {
    this.session = session
    const closed = (stream: ServerHttp2Stream): void => this.#closed(stream, onServed)
    // One function for all streams: a closure each, and the wrapper of once(), would cost more than all the rest.
    const onClose = function (this: ServerHttp2Stream): void { closed(this) }
    // Before its handler, which may ask.
    session.prependListener('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      this.#streams.set(stream, headers)
      if (this.open > this.peak) this.peak = this.open
      stream.on('close', onClose)
      this.onChange?.('opened')
    })
  }

  #closed (stream: ServerHttp2Stream, onServed: () => void): void {
    const isServed = stream.rstCode === constants.NGHTTP2_NO_ERROR
    // A session that broke takes its streams along; its last state is the one before.
    if (isServed || !this.session.destroyed) this.#streams.delete(stream)
    if (isServed) onServed()
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
    const headers = this.#streams.values().next().value
    return { method: headers?.[':method'] ?? null, route: headers?.[':path']?.split('?', 1)[0] ?? null }
  }
}

/** Whether this answer goes out on a stream of HTTP/2. */
export function isStream (answer: object): boolean {
  return 'stream' in answer
}
