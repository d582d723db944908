import type { Socket } from 'node:net'

/** The part of a WebSocket of the package ws that is used. */
export interface WebSocket {
  readonly bufferedAmount: number
  close (code: number, reason: string): void
  terminate (): void
  ping (data?: unknown, mask?: boolean, sent?: () => void): void
}

// RFC 6455 section 7.4.1: "an endpoint is going away, such as a server going down".
const goingAway = 1001

/**
 * The WebSocket on an upgraded socket; `null`: there is none, or not yet.
 *
 * The package ws, on which @fastify/websocket, socket.io, graphql-ws and most others are built, keeps it as a property of
 * the socket, under a symbol of its own. It is found by what it can do, so that it makes no difference who made it, where in
 * the app, and when.
 */
export function webSocketOn (socket: Socket): WebSocket | null {
  for (const symbol of Object.getOwnPropertySymbols(socket)) {
    const value: unknown = (socket as unknown as Record<symbol, unknown>)[symbol]
    if (isWebSocket(value)) return value
  }
  return null
}

function isWebSocket (value: unknown): value is WebSocket {
  if (typeof value !== 'object' || value === null) return false
  const { close, terminate, ping } = value as Partial<WebSocket>
  return [close, terminate, ping].every(member => typeof member === 'function')
}

/** Sends the close frame; `sent`: the socket has it. The library ends the socket when the peer has sent its own. */
export function sayGoingAway (webSocket: WebSocket, socket: Socket, sent: () => void): void {
  // What is still to be compressed comes first, and only the callback of a frame behind it tells when that is over.
  const isCompressing = webSocket.bufferedAmount > socket.writableLength
  if (isCompressing) webSocket.ping(undefined, undefined, sent)
  webSocket.close(goingAway, 'service restart')
  if (!isCompressing) sent()
}
