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
export function lingeringClose (
  socket: Socket,
  { peerCloseTimeout, times, clock, unacknowledged, inFlight, onHalfClose, onTimeout }: LingeringClose
): void {
  let cancelWait = () => {}
  let cancelTotal = () => {}
  let cancelLook = () => {}
  let left = 0
  let read = 0
  let isSlow = false
  let isAcknowledged = false

  socket.setTimeout(0)
  socket.on('error', ignore)
  socket.once('close', () => { cancelWait(); cancelTotal(); cancelLook() })
  socket.destroy = destroyWhenAcknowledged

  if (peerCloseTimeout > 0 && !socket.readableEnded) {
    cancelWait = clock.after(peerCloseTimeout, () => {
      socket.off('end', peerCameFirst)
      halfClose()
    })
    socket.once('end', peerCameFirst)
  } else {
    halfClose()
  }

  // Answer its FIN with ours, and TIME_WAIT stays on its side.
  function peerCameFirst (): void {
    cancelWait()
    halfClose()
  }

  function halfClose (): void {
    if (socket.destroyed) return
    if (!socket.readableEnded) onHalfClose()
    if (socket.writableEnded) return flushed()
    // A slow reader may take its time to drain what was written before: the limits count from our FIN.
    socket.end(flushed)
  }

  function flushed (): void {
    left = unacknowledged() ?? 0
    // It stays so: nothing is written any more.
    isAcknowledged = left === 0 && socket.writableFinished
    socket.on('data', heard)
    socket.on('timeout', silent)
    discard()
  }

  function discard (atMost = Infinity): void {
    cancelTotal()
    cancelTotal = clock.after(Math.min(times.lingerTime, atMost), limitReached)
    heard()
    socket.setTimeout(Math.min(times.lingerTimeout, atMost))
  }

  function heard (): void {
    read = socket.bytesRead
  }

  // An HTTP/2 session reads below its socket, whose timer does not hear of it.
  function silent (): void {
    if (socket.bytesRead === read) return limitReached()
    heard()
    socket.setTimeout(times.lingerTimeout)
  }

  function limitReached (): void {
    if (socket.destroyed) return
    if (isCatchingUp()) return discard()
    const silence = inFlight() ?? Infinity
    if (silence < 2 * times.lingerTime) return discard(2 * times.lingerTime - silence)
    onTimeout()
    destroyNow()
  }

  // Whoever has acknowledged everything by the first limit was not slow: the answer was on its way when the limit began.
  function isCatchingUp (): boolean {
    const before = left
    left = unacknowledged() ?? 0
    isSlow ||= left > 0
    return isSlow && left < before
  }

  function destroyWhenAcknowledged (error?: Error): Socket {
    if (error !== undefined || isAcknowledged || !((unacknowledged() ?? 0) > 0)) return destroyNow(error)
    look(firstLook)
    return socket
  }

  function look (wait: number): void {
    cancelLook()
    cancelLook = clock.after(wait, () => {
      if (!((unacknowledged() ?? 0) > 0)) destroyNow()
      else look(Math.min(2 * wait, longestLook))
    })
  }

  function destroyNow (error?: Error): Socket {
    // To delete our own destroy() would cost each socket more than all the rest of its close.
    return Object.getPrototypeOf(socket).destroy.call(socket, error)
  }
}

// A reset while we linger means that the peer is gone, which is what we wait for.
function ignore (): void {}
