import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A TCP socket of another process, and its options as the kernel has them. */
export interface SocketOptions {
  fd: number
  listening: boolean
  localPort: number
  /** `null` where there is no peer (any more). */
  peerPort: number | null
  SO_KEEPALIVE: number
  /** Seconds. */
  TCP_KEEPIDLE: number
  /** Seconds. */
  TCP_KEEPINTVL: number
  TCP_KEEPCNT: number
  /** Milliseconds. */
  TCP_USER_TIMEOUT: number
}

const reader = fileURLToPath(new URL('../fixtures/socket-options.py', import.meta.url))

/** Every TCP socket of a process, in whatever network namespace it is. Needs root, python3 and Linux 5.6. */
export function socketOptions (pid: number): SocketOptions[] {
  return JSON.parse(execFileSync('python3', [reader, String(pid)], { encoding: 'utf8' }))
}
