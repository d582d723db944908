import type { Clock } from '../clock.ts'
import type { Session } from './http2.ts'

export interface GoawayEnv {
  clock: Clock
  /**
   * Writes these bytes at once, past Node, between two frames: `false` when something that was written before still
   * waits, `null` when it cannot be done on this connection at all.
   */
  writeNow (bytes: Uint8Array): boolean | null
  /** How long the peer may close first when its last stream has ended, in ms. */
  peerCloseTimeout: number
  /** When a session gets its final GOAWAY at the latest, on the clock, in ms. */
  latest: number
}

// RFC 9113 section 6.8: a frame of type 7 on stream 0, the last stream identifier 2^31-1, the code NO_ERROR. "New streams
// will be refused soon, those that cross this frame will not." Node's own goaway() with these values refuses at once.
const shutdownNotice = Uint8Array.of(0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0)

// How long a PING may stay unanswered, in ms.
const pingTimeout = 5000

// A session counts as quiet when no stream has been open for this long, in ms.
const quietTime = 50

/**
 * Says goodbye on one session. Every stream that the peer opened before it could know is served, where that can be done:
 *
 * 1. `announce()`: the shutdown notice, then PING. The ACK says that the peer has read the notice, so that no stream can
 *    cross the final GOAWAY any more.
 * 2. Where no notice can be written (TLS): served until `settle()`, then the final GOAWAY when little can cross it. That
 *    is when nobody asks for anything, or when a stream has just been opened and no more were ever open: a peer
 *    that uses all the streams it wants has nothing on its way to us.
 * 3. The final GOAWAY names the last stream that is served; one with a higher identifier was never executed, and the peer
 *    may retry it elsewhere (RFC 9113 section 8.7).
 * 4. When the last stream has ended the peer may close first, then we do.
 */
export class Goaway {
  readonly #session: Session
  readonly #env: GoawayEnv
  #peak: number
  #announced = false
  #noticed = false
  #settling = false
  #refusing = false
  #cancelWait = () => {}
  #cancelLatest = () => {}

  constructor (session: Session, env: GoawayEnv) {
    this.#session = session
    this.#env = env
    this.#peak = session.open
    session.onChange = change => change === 'opened' ? this.#opened() : this.#closed()
    session.session.once('close', () => { this.#cancelWait(); this.#cancelLatest() })
  }

  /** Sends the shutdown notice. A session that came later gets it with its first stream: it was opened to bring one. */
  announce (): void {
    if (this.#session.session.destroyed || this.#refusing) return
    this.#announced = true
    const written = this.#env.writeNow(shutdownNotice)
    if (written === true) this.#refuseWhenRead()
    // Full buffers: the ACK comes when the peer has read what is in them.
    else if (written === false) this.#ping(() => this.announce())
  }

  #refuseWhenRead (): void {
    this.#noticed = true
    this.#refuseLatestIn(pingTimeout)
    this.#ping(() => this.#refuse())
  }

  /** The grace is over: the final GOAWAY goes out as soon as little can cross it. */
  settle (): void {
    if (!this.#announced) this.announce()
    if (this.#noticed) return
    this.#settling = true
    this.#refuseLatestIn(Infinity)
    if (this.#session.open === 0) this.#waitForQuiet()
  }

  #opened (): void {
    if (!this.#announced) this.announce()
    const { open } = this.#session
    const isPeak = open >= this.#peak
    this.#peak = Math.max(this.#peak, open)
    if (this.#isUndecided && isPeak) this.#refuse()
  }

  #closed (): void {
    if (this.#session.open > 0) return
    if (this.#refusing) this.#letPeerClose()
    else if (this.#isUndecided) this.#waitForQuiet()
  }

  get #isUndecided (): boolean {
    return this.#settling && !this.#noticed && !this.#refusing
  }

  #waitForQuiet (): void {
    this.#cancelWait()
    this.#cancelWait = this.#env.clock.after(quietTime, () => {
      if (this.#isUndecided && this.#session.open === 0) this.#refuse()
    })
  }

  #refuseLatestIn (ms: number): void {
    const { clock, latest } = this.#env
    this.#cancelLatest()
    this.#cancelLatest = clock.after(Math.max(0, Math.min(ms, latest - clock.now())), () => this.#refuse())
  }

  /** The final GOAWAY. */
  #refuse (): void {
    const { session, open } = this.#session
    if (this.#refusing || session.destroyed) return
    this.#refusing = true
    this.#cancelLatest()
    session.goaway()
    if (open === 0) this.#letPeerClose()
  }

  #letPeerClose (): void {
    this.#cancelWait()
    this.#cancelWait = this.#env.clock.after(this.#env.peerCloseTimeout, () => this.#session.session.close())
  }

  #ping (onAck: () => void): void {
    this.#session.session.ping(error => { if (error === null) onAck() })
  }
}
