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
  /** Our FIN goes out now; the peer's had not come yet. */
  onHalfClose (): void
  /** Neither FIN nor silence limits were kept by the peer: the socket is closed without its FIN. */
  onTimeout (): void
}

/**
 * Flush, half-close, read and discard until the peer's FIN, then close.
 *
 * Closing at once would answer whatever the peer still sends with RST, and a peer that gets RST
 * may lose the answer that it has not read yet (RFC 9112 section 9.6).
 *
 * Whoever read the socket before must have let go of it. Node closes it by itself as soon as both
 * directions have ended.
 */
export function lingeringClose (socket: Socket, { peerCloseTimeout, times, clock, onHalfClose, onTimeout }: LingeringClose): void {
  let cancelWait = () => {}
  let cancelTotal = () => {}

  socket.setTimeout(0)
  socket.on('error', ignore)
  socket.once('close', () => { cancelWait(); cancelTotal() })

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
    if (socket.writableEnded) return discardFor(times)
    // A slow reader may take its time to drain what was written before: the limits count from our FIN.
    socket.end(() => discardFor(times))
  }

  function discardFor ({ lingerTimeout, lingerTime }: LingerTimes): void {
    if (socket.destroyed) return
    cancelTotal = clock.after(lingerTime, giveUp)
    socket.setTimeout(lingerTimeout, giveUp)
  }

  function giveUp (): void {
    if (socket.destroyed) return
    onTimeout()
    socket.destroy()
  }
}

// A reset while we linger means that the peer is gone, which is what we wait for.
function ignore (): void {}
