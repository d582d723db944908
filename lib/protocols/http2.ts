import { constants, type Http2Session, type ServerHttp2Stream } from 'node:http2'

/*
 * What an HTTP/2 session means for a drain. Node keeps the number of open streams to itself,
 * so they are counted here, one listener per session.
 */

const openStreams = new WeakMap<Http2Session, number>()

/** Counts the streams of a session, so that its state is known when a drain begins; `onServed`: one has ended well. */
export function watchSession (session: Http2Session, onServed = () => {}): void {
  openStreams.set(session, 0)
  session.on('stream', (stream: ServerHttp2Stream) => {
    count(session, +1)
    stream.once('close', () => {
      const isServed = stream.rstCode === constants.NGHTTP2_NO_ERROR
      // A session that broke takes its streams along; its last state is the one before.
      if (isServed || !session.destroyed) count(session, -1)
      if (isServed) onServed()
    })
  })
}

function count (session: Http2Session, by: number): void {
  openStreams.set(session, openStreams.get(session) as number + by)
}

export function stateOf (session: Http2Session): 'active' | 'idle' {
  return (openStreams.get(session) ?? 0) > 0 ? 'active' : 'idle'
}

/** GOAWAY: streams that are open finish, then Node closes the session and half-closes its socket. */
export function close (session: Http2Session): void {
  session.close()
}

/** Whether this answer goes out on a stream of HTTP/2. */
export function isStream (answer: object): boolean {
  return 'stream' in answer
}
