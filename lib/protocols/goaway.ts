import { constants } from 'node:http2'
import type { Clock } from '../clock.ts'
import type { Session } from './http2.ts'

export interface GoawayEnv {
  clock: Clock
  /**
   * Writes these bytes at once, past Node, between two frames: `false` when something that was written before still
   * waits. `null`: it cannot be done on this connection.
   */
  writeNow: ((bytes: Uint8Array) => boolean) | null
  /** Lets bytes of the peer, and its FIN, come in again. */
  readOn (): void
  /** The kernel has nothing that the peer has not acknowledged. */
  isFlushed (): boolean
  /** Closes the socket below a session that is over. */
  endSocket (): void
  /** How long the peer may close first when its last stream has ended, in ms. */
  peerCloseTimeout: number
  /** How long a PING may stay unanswered, in ms. */
  pingTimeout: number
  /** When a session must be told at the latest that no further stream is served, on the clock, in ms. */
  latest: number
  /** Nothing depends on its end: where no notice can be written, one that is idle stays for its next stream, after `latest`, too. */
  mayWait: boolean
}

// RFC 9113 section 6.8: a frame of type 7 on stream 0, the last stream identifier 2^31-1, the code NO_ERROR. New streams
// will be refused soon, those that cross this frame are not. Node's own goaway() with these values refuses them at once.
const shutdownNotice = Uint8Array.of(0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0)

// A session counts as quiet when no stream has been open for this long, in ms.
const quietTime = 50

// How long to wait between two looks at the send queue, in ms.
const firstLook = 1
const longestLook = 100

// So many times in a row the kernel must have had nothing to send: a busy event loop has not yet written the rest.
const enoughLooks = 3

const highestStream = 2 ** 31 - 1

/**
 * Says goodbye on one session. Every stream that the peer opened before it could know is served, where that can be done:
 *
 * 1. `announce()`: the shutdown notice, then PING. The ACK says that the peer has read the notice, so that no stream can
 *    cross what follows.
 * 2. Where no notice can be written (TLS): refused when little can cross that. It is when a stream has just been opened and no
 *    more were ever open: a peer that uses all the streams it wants has nothing on its way to us, and hears of it before its
 *    answer. After `settle()` it is also when nobody asks for anything, and as time goes on fewer streams are enough.
 * 3. Refusing takes two frames of GOAWAY. From the moment at which the first one is sent, which may be later than now, Node
 *    executes no further stream. Then the last stream that was executed is known, and the second one names it: the peer may
 *    send those behind it elsewhere (RFC 9113 section 8.7). One frame would name it too early: streams that come
 *    before it is sent are executed, and would be sent again all the same.
 * 4. When the last stream has ended the peer may close first, then we do.
 */
export class Goaway {
  readonly #session: Session
  #env: GoawayEnv
  #announced: boolean
  #noticed = false
  #settling = false
  #settledAt = 0
  #refusing = false
  #final = false
  #isEnding = false
  #cancelWait = () => {}
  #cancelLatest = () => {}

  constructor (session: Session, env: GoawayEnv) {
    this.#session = session
    this.#env = env
    // What cannot be told counts as told.
    this.#announced = env.writeNow === null && session.used
    session.onChange = change => change === 'opened' ? this.streamOpened() : this.#closed()
    session.session.once('close', () => {
      this.#isEnding = true
      this.#cancelWait()
      this.#cancelLatest()
    })
    // Node calls it when the peer says GOAWAY, which it does as it leaves, and would then close first.
    session.session.close = () => this.#refuse()
  }

  /** Sends the shutdown notice. One that has brought no request yet gets it with its first answer. */
  announce (): void {
    const { session } = this.#session
    // Whoever closed it before the drain began has named the last stream: no GOAWAY may name a later one.
    if (this.#isOver() || session.closed || this.#noticed || this.#refusing) return
    this.#announced = true
    const { writeNow } = this.#env
    if (writeNow === null) return
    this.#noticed = writeNow(shutdownNotice)
    if (this.#noticed) this.#refuseIn(this.#env.pingTimeout)
    // Full buffers: the ACK comes when the peer has read what is in them.
    this.#ping(() => this.#noticed ? this.#refuse() : this.announce())
  }

  /** The grace is over: streams are refused as soon as little can cross that. */
  settle (): void {
    if (!this.#announced) this.announce()
    // A session whose peer has said GOAWAY meanwhile is on its way out, and its timers are not those of below.
    if (this.#isOver() || this.#noticed || this.#refusing) return
    const { clock, latest, mayWait } = this.#env
    this.#settling = true
    this.#settledAt = clock.now()
    if (mayWait) return
    this.#refuseIn(Math.max(0, latest - clock.now()))
    if (this.#session.open === 0) this.#waitForQuiet()
  }

  /** A drain begins when this goodbye was under way already: it has to come to its end in time. */
  hurry (times: Pick<GoawayEnv, 'peerCloseTimeout' | 'pingTimeout' | 'latest'>): void {
    this.#env = { ...this.#env, ...times, mayWait: false }
    this.#settling = false
    if (this.#noticed && !this.#refusing && !this.#isOver()) this.#refuseIn(times.pingTimeout)
  }

  /** The peer has just opened a stream. */
  streamOpened (): void {
    const { open, peak } = this.#session
    if (this.#isUndecided && open >= peak * this.#patience) this.#refuse()
  }

  #closed (): void {
    if (!this.#announced) this.announce()
    if (this.#session.open > 0) return
    if (this.#final) this.#letPeerClose()
    else if (this.#settling && this.#isUndecided && !this.#env.mayWait) this.#waitForQuiet()
  }

  get #isUndecided (): boolean {
    const isTold = this.#announced && this.#env.writeNow === null
    return (this.#settling || isTold) && !this.#noticed && !this.#refusing
  }

  // From 1 at the end of the grace to 0 at the latest moment, and less after it.
  get #patience (): number {
    if (!this.#settling) return 1
    const { clock, latest } = this.#env
    return (latest - clock.now()) / (latest - this.#settledAt)
  }

  #waitForQuiet (): void {
    this.#cancelWait()
    this.#cancelWait = this.#env.clock.after(quietTime, () => {
      if (this.#isUndecided && this.#session.open === 0) this.#refuse()
    })
  }

  #refuseIn (ms: number): void {
    this.#cancelLatest()
    this.#cancelLatest = this.#env.clock.after(ms, () => this.#refuse())
  }

  #refuse (): void {
    const { session } = this.#session
    // Whoever closed it before the drain began is closing it.
    if (this.#isOver() || this.#refusing || session.closed) return
    this.#refusing = true
    this.#cancelLatest()
    session.goaway(constants.NGHTTP2_NO_ERROR, highestStream)
    this.#whenSent(() => this.#finish())
  }

  #finish (): void {
    const { session, open } = this.#session
    this.#final = true
    session.goaway()
    if (open === 0) this.#letPeerClose()
  }

  #letPeerClose (): void {
    this.#cancelWait()
    // When both sides have said GOAWAY and no stream is open, Node stops reading, and would not see the peer's FIN.
    this.#env.readOn()
    this.#cancelWait = this.#env.clock.after(this.#env.peerCloseTimeout, () => {
      const { session } = this.#session
      delete (session as Partial<typeof session>).close
      session.close()
      // Node may miss that the last frame of a session it closes was sent, and would keep the socket open for ever.
      if (!this.#isOver()) this.#cancelWait = this.#env.clock.after(firstLook, () => this.#whenSent(() => this.#destroy()))
    })
  }

  // No event tells of it. Nor does Node always hear that the peer is gone, or send anything on a session that has failed: then
  // its queue stays as it is, and the kernel has nothing to send.
  #whenSent (then: () => void, wait = firstLook, flushedLooks = 0): void {
    const { session } = this.#session
    if (this.#isOver()) return
    if (session.state.outboundQueueSize === 0) return then()
    if (flushedLooks === enoughLooks) return this.#destroy()
    this.#cancelWait = this.#env.clock.after(wait, () => {
      const isStuck = wait === longestLook && this.#env.isFlushed()
      this.#whenSent(then, Math.min(2 * wait, longestLook), isStuck ? flushedLooks + 1 : 0)
    })
  }

  #destroy (): void {
    this.#session.session.destroy()
    this.#isOver()
  }

  // A session that is destroyed closes its socket when its last write is over, and Node may miss that over TLS.
  #isOver (): boolean {
    if (!this.#session.session.destroyed) return false
    if (this.#isEnding) return true
    this.#isEnding = true
    this.#cancelWait()
    this.#cancelWait = this.#env.clock.after(this.#env.peerCloseTimeout, () => this.#env.endSocket())
    return true
  }

  #ping (onAck: () => void): void {
    this.#session.session.ping(error => { if (error === null) onAck() })
  }
}
