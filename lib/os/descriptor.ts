import { fstatSync } from 'node:fs'
import type { Server, Socket } from 'node:net'

/** The file descriptor of a socket or listener; `null` where Node does not tell (Windows), or when it is closed. */
export function descriptorOf (owner: Socket | Server): number | null {
  const { _handle: handle } = owner as { _handle?: { fd?: number } | null }
  const fd = handle?.fd
  return typeof fd === 'number' && fd >= 0 ? fd : null
}

/** Whether this process has a socket of that number. */
export function isSocket (fd: number): boolean {
  try {
    return fstatSync(fd).isSocket()
  } catch {
    return false
  }
}

/** Tells Node the path of a Unix socket that it gets as a descriptor: `server.address()` is null without, and Fastify reads it. */
export function nameUnixListener (server: Server, path: string): void {
  (server as { _pipeName?: string })._pipeName = path
}

/** Whether it listens at a path. */
export function isUnixSocket (server: Server): boolean {
  return typeof server.address() === 'string'
}

/** Whether the kernel has everything that was written to this socket, at least one byte of it; so whoever writes past Node does it between two writes. */
export function isFlushed (socket: Socket): boolean {
  const { _handle: handle } = socket as { _handle?: { writeQueueSize?: number } | null }
  return handle?.writeQueueSize === 0 && socket.bytesWritten > 0
}
