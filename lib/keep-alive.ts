import { Socket, type Server } from 'node:net'
import { tcpAddressOf } from './os/address.ts'
import type { Native } from './os/native.ts'
import type { KeepAliveOptions, Sockets } from './os/sockets.ts'

interface TunableServer extends Server {
  keepAlive?: boolean
}

// Node 24.21 and 26 take the interval and the count too; the older form would reset both.
type SetKeepAlive = (options: { enable: boolean, initialDelay: number, interval: number, count: number }) => void
const nodeTakesAll = Socket.prototype.setKeepAlive.length >= 4

/** What of these options cannot be set, by the names of tcp(7). */
export function missingKeepAlive ({ userTimeout }: KeepAliveOptions, native: Native | null): string[] {
  const isMissing = native === null
    ? { TCP_KEEPINTVL: !nodeTakesAll, TCP_KEEPCNT: !nodeTakesAll, TCP_USER_TIMEOUT: userTimeout !== undefined }
    : { TCP_USER_TIMEOUT: userTimeout !== undefined && !native.has('TCP_USER_TIMEOUT') }
  return Object.entries(isMissing).filter(([, missing]) => missing).map(([name]) => name)
}

/**
 * Gives what this server accepts TCP keepalive: on its listener, once, where accepted sockets inherit that, else socket by
 * socket. Called as soon as it listens; `onError` hears of a kernel that refuses.
 */
export function keepAlive (server: TunableServer, options: KeepAliveOptions, sockets: Sockets, onError: (error: unknown) => void): void {
  if (tcpAddressOf(server) === null) return
  // Node would set its own on every socket, and reset the interval and the count with it.
  if ('keepAlive' in server) server.keepAlive = false
  attempt(() => {
    if (sockets.inherits && sockets.keepAlive(server, options)) tuneFirst(sockets.waiting(server) ?? 0)
    else server.prependListener('connection', tune)
  })

  // Those whose handshake was over before the listener had its options.
  function tuneFirst (left: number): void {
    if (left === 0) return
    server.prependListener('connection', function tuneNext (socket) {
      tune(socket)
      if (--left === 0) server.off('connection', tuneNext)
    })
  }

  function tune (socket: Socket): void {
    attempt(() => {
      if (!sockets.keepAlive(socket, options)) setByNode(socket, options)
    })
  }

  function attempt (set: () => void): void {
    try { set() } catch (error) { onError(error) }
  }
}

function setByNode (socket: Socket, { idle, interval, count }: KeepAliveOptions): void {
  if (nodeTakesAll) (socket.setKeepAlive as unknown as SetKeepAlive).call(socket, { enable: true, initialDelay: idle, interval, count })
  else socket.setKeepAlive(true, idle)
}
