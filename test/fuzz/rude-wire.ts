import { connect, type Socket } from 'node:net'
import tls from 'node:tls'

/** What a rude client has to know of the server. */
export interface Victim {
  port: number
  secure: boolean
  http1: boolean
  http2: boolean
}

export interface Wire {
  /** What is written here is understood by the server. */
  socket: Socket
  /** The TCP connection below. */
  raw: Socket
}

/** A connection that answers no FIN by itself, and whose errors end nothing. */
export function connectRaw (port: number): Socket {
  return connect({ port, host: '127.0.0.1', allowHalfOpen: true }).setNoDelay(true).on('error', () => {})
}

export function connectWire ({ port, secure }: Victim, protocol: 'http/1.1' | 'h2', options: tls.ConnectionOptions = {}): Wire {
  const raw = connectRaw(port)
  if (!secure) return { socket: raw, raw }
  const socket = tls.connect({ socket: raw, rejectUnauthorized: false, ALPNProtocols: [protocol], ...options })
  socket.allowHalfOpen = true
  socket.on('error', () => {})
  return { socket, raw }
}
