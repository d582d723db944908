import type { FastifyServerOptions } from 'fastify'
import { connect, type Socket } from 'node:net'
import tls from 'node:tls'
import { tlsOptions } from './tls.ts'

export interface FuzzServer {
  name: string
  options: object & FastifyServerOptions
  secure: boolean
  http1: boolean
  http2: boolean
}

export const fuzzServers: FuzzServer[] = [
  { name: 'http', options: {}, secure: false, http1: true, http2: false },
  { name: 'https', options: { https: tlsOptions } as object, secure: true, http1: true, http2: false },
  { name: 'h2c', options: { http2: true } as object, secure: false, http1: false, http2: true },
  { name: 'secure h2', options: { http2: true, https: { ...tlsOptions, allowHTTP1: true } } as object, secure: true, http1: true, http2: true }
]

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

export function connectWire (port: number, { secure }: FuzzServer, protocol: 'http/1.1' | 'h2', options: tls.ConnectionOptions = {}): Wire {
  const raw = connectRaw(port)
  if (!secure) return { socket: raw, raw }
  const socket = tls.connect({ socket: raw, rejectUnauthorized: false, ALPNProtocols: [protocol], ...options })
  socket.allowHalfOpen = true
  socket.on('error', () => {})
  return { socket, raw }
}
