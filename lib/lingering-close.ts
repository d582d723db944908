import type { Socket } from 'node:net'
import type { Clock } from './clock.ts'

export interface LingerTimes {
  /** Silence of the peer that ends the wait, in ms. */
  lingerTimeout: number
  /** The whole wait, in ms; wins over a peer that trickles bytes. */
  lingerTime: number
}

export interface LingeringClose {
  /** How long the peer may send its FIN first, in ms; 0: ours goes out at once. */
  peerCloseTimeout: number
  times: LingerTimes
  clock: Clock
  /** How many bytes the peer has not acknowledged; `null`: nobody knows. */
  unacknowledged (): number | null
  /** For how long nothing has come from the peer while something is in flight to it, in ms; `null`: nothing is, or nobody knows. */
  inFlight (): number | null
  /** Our FIN goes out now; the peer's had not come yet. */
  onHalfClose (): void
  /** Neither FIN nor silence limits were kept by the peer: the socket is closed without its FIN. */
  onTimeout (): void
}

// How long to wait between two looks at the send queue, in ms: no event tells of an acknowledgement.
const firstLook = 5
const longestLook = 200

const lingering = Symbol('fastify-drain.lingering')

interface LingeringSocket extends Socket { [lingering]: Lingering }

/**
 * Flush, half-close, read and discard until the peer's FIN, then close.
 *
 * Closing at once would answer whatever the peer still sends with RST, and a peer that gets RST
 * may lose the answer that it has not read yet (RFC 9112 section 9.6).
 *
 * A peer that is slow to read may take its time: the limits begin anew as long as it acknowledges what was sent. The
 * socket is kept until then even if the peer's FIN has come, because the network of a container ends with its process,
 * and the kernel's buffers with it. SO_LINGER with a time would block the event loop instead.
 *
 * Nor is a slow or broken network the silence of a peer. While something is in flight, which any peer within reach would have
 * acknowledged, the limits begin anew until nothing has come for twice `lingerTime`: the pauses of TCP double, so that a break
 * of nearly `lingerTime` is over by then for it, too.
 *
 * Whoever read the socket before must have let go of it. Node closes it by itself as soon as both
 * directions have ended.
 */
export function lingeringClose (socket: Socket, options: LingeringClose): void {
  const state = (socket as LingeringSocket)[lingering] = new Lingering(socket, options)
  socket.setTimeout(0)
  socket.on('error', ignore)
  socket.on('close', onClose)
  socket.destroy = destroyWhenAcknowledged
  state.begin()
}

// One function for all sockets: closures for each would be garbage when thousands close.
function onClose (this: LingeringSocket): void { this[lingering].closed() }
function onEnd (this: LingeringSocket): void { this[lingering].peerCameFirst() }
function onFinish (this: LingeringSocket): void { this[lingering].flushed() }
function onData (this: LingeringSocket): void { this[lingering].heard() }
function onTimeout (this: LingeringSocket): void { this[lingering].silent() }

function destroyWhenAcknowledged (this: LingeringSocket, error?: Error): LingeringSocket {
  this[lingering].destroyWhenAcknowledged(error)
  return this
}

// A reset while we linger means that the peer is gone, which is what we wait for.
function ignore (): void {}

class Lingering {
  readonly #socket: Socket
  readonly #options: LingeringClose
  #cancelWait = ignore
  #cancelTotal = ignore
  #cancelLook = ignore
  #left = 0
  #read = 0
  #isSlow = false
  #isAcknowledged = false

  constructor (socket: Socket, options: LingeringClose) {
    this.#socket = socket
    this.#options = options
  }

  begin (): void {
    const { peerCloseTimeout, clock } = this.#options
    if (peerCloseTimeout === 0 || this.#socket.readableEnded) return this.#halfClose()
    this.#cancelWait = clock.after(peerCloseTimeout, () => {
      this.#socket.off('end', onEnd)
      this.#halfClose()
    })
    this.#socket.once('end', onEnd)
  }

  closed (): void {
    this.#cancelWait()
    this.#cancelTotal()
    this.#cancelLook()
  }

  // Answer its FIN with ours, and TIME_WAIT stays on its side.
  peerCameFirst (): void {
    this.#cancelWait()
    this.#halfClose()
  }

  #halfClose (): void {
    const socket = this.#socket
    if (socket.destroyed) return
    if (!socket.readableEnded) this.#options.onHalfClose()
    if (socket.writableEnded) return this.flushed()
    // A slow reader may take its time to drain what was written before: the limits count from our FIN.
    socket.on('finish', onFinish)
    // Of its own end() HTTP/1.x has made one that waits for an answer, which nobody may ever finish.
    Object.getPrototypeOf(socket).end.call(socket)
    if (socket.readableEnded && socket.writableLength > 0) this.#lookAtFlush(0)
  }

  // A reset can look like the end to Node, which over TLS may then forget a write: neither its end nor an error ever comes,
  // while the kernel has nothing to send.
  #lookAtFlush (before: number): void {
    const { clock, times, unacknowledged, onTimeout } = this.#options
    this.#cancelTotal = clock.after(times.lingerTime, () => {
      const waiting = unacknowledged() === 0 ? this.#socket.writableLength : 0
      if (waiting === 0 || waiting !== before) return this.#lookAtFlush(waiting)
      onTimeout()
      this.#destroyNow()
    })
  }

  flushed (): void {
    const socket = this.#socket
    this.#left = this.#unacknowledged
    // It stays so: nothing is written any more.
    this.#isAcknowledged = this.#left === 0 && socket.writableFinished
    socket.on('data', onData)
    socket.on('timeout', onTimeout)
    this.#discard()
  }

  // Where nobody knows there is nothing to wait for.
  get #unacknowledged (): number {
    return this.#options.unacknowledged() ?? 0
  }

  #discard (atMost = Infinity): void {
    const { clock, times } = this.#options
    this.#cancelTotal()
    this.#cancelTotal = clock.after(Math.min(times.lingerTime, atMost), () => this.#limitReached())
    this.heard()
    this.#socket.setTimeout(Math.min(times.lingerTimeout, atMost))
  }

  heard (): void {
    this.#read = this.#socket.bytesRead
  }

  // An HTTP/2 session reads below its socket, whose timer does not hear of it.
  silent (): void {
    if (this.#socket.bytesRead === this.#read) return this.#limitReached()
    this.heard()
    this.#socket.setTimeout(this.#options.times.lingerTimeout)
  }

  #limitReached (): void {
    if (this.#socket.destroyed) return
    if (this.#isCatchingUp()) return this.#discard()
    const { times, inFlight, onTimeout } = this.#options
    const silence = inFlight() ?? Infinity
    if (silence < 2 * times.lingerTime) return this.#discard(2 * times.lingerTime - silence)
    onTimeout()
    this.#destroyNow()
  }

  // Whoever has acknowledged everything by the first limit was not slow: the answer was on its way when the limit began.
  #isCatchingUp (): boolean {
    const before = this.#left
    this.#left = this.#unacknowledged
    this.#isSlow ||= this.#left > 0
    return this.#isSlow && this.#left < before
  }

  destroyWhenAcknowledged (error?: Error): void {
    if (error !== undefined || this.#isAcknowledged || this.#unacknowledged === 0) this.#destroyNow(error)
    else this.#look(firstLook)
  }

  #look (wait: number): void {
    this.#cancelLook()
    this.#cancelLook = this.#options.clock.after(wait, () => {
      if (this.#unacknowledged === 0) this.#destroyNow()
      else this.#look(Math.min(2 * wait, longestLook))
    })
  }

  #destroyNow (error?: Error): void {
    // Not by deleting our own destroy(): that makes a dictionary of each socket.
    Object.getPrototypeOf(this.#socket).destroy.call(this.#socket, error)
  }
}
