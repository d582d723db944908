import type { Server, Socket } from 'node:net'
import { descriptorOf, isFlushed } from './descriptor.ts'
import { isLittleEndian, type Native } from './native.ts'

interface ResettableSocket extends Socket {
  resetAndClosing?: boolean
}

// struct linger { onoff: 1, linger: 0 }
const lingerZero = new Uint8Array(new Int32Array([1, 0]).buffer)

// struct tcp_info: eight bytes, then 32-bit numbers; tcpi_unacked is how many packets are in flight, of a listener the length of its
// accept queue.
const unackedOffset = 24
// tcpi_state is its first byte: TCP_CLOSE of include/net/tcp_states.h.
const stateClosed = 7
// In ms, since data was sent and since some came.
const lastSentOffset = 44
const lastReceivedOffset = 52
// In ms, since anything came, a bare acknowledgement included.
const lastHeardOffset = 56

export interface KeepAliveOptions {
  /** Silence before the first probe, in ms. */
  idle: number
  /** Between two probes, in ms. */
  interval: number
  /** Probes without an answer after which the peer counts as gone. */
  count: number
  /** How long sent data may stay unacknowledged, in ms. */
  userTimeout?: number
}

/** What the kernel knows of the sockets of this app, and what it can be told; without system calls as much as Node offers. */
export class Sockets {
  readonly #native: Native | null

  constructor (native: Native | null) {
    this.#native = native
  }

  /** The next destroy() of this socket sends RST and discards what was not sent. */
  reset (socket: Socket): void {
    const fd = descriptorOf(socket)
    if (this.#native === null || fd === null) return resetByNode(socket)
    try {
      this.#native.setOption(fd, 'SO_LINGER', lingerZero)
    } catch {
      resetByNode(socket)
    }
  }

  /**
   * How many bytes the kernel has taken that the peer has not acknowledged; `null`: nobody knows, or it is no TCP socket.
   * Our FIN is not counted.
   */
  unacknowledged (socket: Socket): number | null {
    const native = this.#native
    const fd = descriptorOf(socket)
    if (native === null || fd === null || native.platform.unacknowledged === null) return null
    try {
      // A Unix socket, or one that its peer has reset.
      if (socket.remoteAddress === undefined) return native.getOption(fd, 'TCP_INFO', 1).getUint8(0) === stateClosed ? 0 : null
      const sent = native.ioctl(fd, native.platform.unacknowledged)
      // A FIN takes a place in the sequence, behind all the rest.
      const queued = socket.writableFinished ? Math.max(0, sent - 1) : sent
      // After the peer's RST nobody will acknowledge anything, but the kernel goes on counting.
      if (queued > 0 && native.has('TCP_INFO') && native.getOption(fd, 'TCP_INFO', 1).getUint8(0) === stateClosed) return 0
      return queued
    } catch {
      return null
    }
  }

  /** How long no data has come or gone on this connection, in ms; 0 where nobody knows. */
  silence (socket: Socket): number {
    const fd = descriptorOf(socket)
    if (this.#native === null || fd === null || !this.#native.has('TCP_INFO')) return 0
    try {
      const info = this.#native.getOption(fd, 'TCP_INFO', lastReceivedOffset + 4)
      return Math.min(info.getUint32(lastSentOffset, isLittleEndian), info.getUint32(lastReceivedOffset, isLittleEndian))
    } catch {
      return 0
    }
  }

  /**
   * For how long nothing has come from the peer while packets are in flight to it, our FIN included, in ms; `null`: none are, or
   * nobody knows. What a peer has no room for is not sent, and not in flight.
   */
  inFlight (socket: Socket): number | null {
    const fd = descriptorOf(socket)
    if (this.#native === null || fd === null || !this.#native.has('TCP_INFO')) return null
    try {
      const info = this.#native.getOption(fd, 'TCP_INFO', lastHeardOffset + 4)
      const waits = info.getUint32(unackedOffset, isLittleEndian) > 0 && info.getUint8(0) !== stateClosed
      return waits ? info.getUint32(lastHeardOffset, isLittleEndian) : null
    } catch {
      return null
    }
  }

  get canWriteNow (): boolean {
    return this.#native !== null
  }

  /**
   * Writes these bytes past Node, at once: `false` when they would have to wait.
   * Whoever calls it knows that what Node wrote before ends where these bytes may begin.
   */
  writeNow (socket: Socket, bytes: Uint8Array): boolean {
    const native = this.#native
    const fd = descriptorOf(socket)
    if (native === null || fd === null) return false
    try {
      if (!isFlushed(socket) || !native.isWritable(fd)) return false
      // Part of them would break what the peer reads next. With that much room it does not happen.
      if (native.send(fd, bytes, native.platform.dontWait) < bytes.length) socket.destroy()
      return true
    } catch {
      // The peer has gone, which Node is about to find out.
      return false
    }
  }

  /** How many connections wait to be accepted; `null`: nobody knows. */
  waiting (server: Server): number | null {
    const fd = descriptorOf(server)
    if (this.#native === null || fd === null || !this.#native.has('TCP_INFO')) return null
    return this.#native.getOption(fd, 'TCP_INFO', 32).getUint32(unackedOffset, isLittleEndian)
  }

  /** Whether the options of a listener are those of the sockets that it accepts. */
  get inherits (): boolean {
    return this.#native?.platform.inherits ?? false
  }

  /** Sets TCP keepalive, on a listener for what it will accept. */
  keepAlive (owner: Server | Socket, { idle, interval, count, userTimeout }: KeepAliveOptions): boolean {
    const native = this.#native
    const fd = descriptorOf(owner)
    if (native === null || fd === null) return false
    native.setOption(fd, 'SO_KEEPALIVE', 1)
    native.setOption(fd, 'TCP_KEEPIDLE', idle / 1000)
    native.setOption(fd, 'TCP_KEEPINTVL', interval / 1000)
    native.setOption(fd, 'TCP_KEEPCNT', count)
    if (userTimeout !== undefined && native.has('TCP_USER_TIMEOUT')) native.setOption(fd, 'TCP_USER_TIMEOUT', userTimeout)
    return true
  }

  /** Whether SO_REUSEADDR is set; `null`: nobody knows. */
  reusesAddress (server: Server): boolean | null {
    const fd = descriptorOf(server)
    return this.#native === null || fd === null ? null : this.#native.getInt(fd, 'SO_REUSEADDR') !== 0
  }
}

/*
 * Node's resetAndDestroy() cannot be used: on Node 20 it first waits until everything is flushed, which a
 * peer that does not read prevents for ever. While a shutdown is pending libuv refuses to reset (EINVAL, and
 * Node would leak the descriptor), so such a socket is closed in the plain way.
 */
function resetByNode (socket: Socket): void {
  if (!('resetAndDestroy' in socket) || isShuttingDown(socket)) return
  (socket as ResettableSocket).resetAndClosing = true
}

function isShuttingDown (socket: Socket): boolean {
  return socket.writableEnded && !socket.writableFinished
}
