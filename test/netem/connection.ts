import { Agent, request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http'
import { connect as connectHttp2, constants, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'
import { Agent as SecureAgent, request as requestHttps } from 'node:https'
import { connect, type Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import type { AppAt } from './server.ts'

export interface Request {
  id: string
  path: string
  /** Of a body to upload, in bytes. */
  upload?: number
  chunked?: boolean
}

export interface Answer {
  id: string
  /** 0: none came. */
  status: number
  /** Of the body. */
  bytes: number
  /** The body ends with the id. */
  isWhole: boolean
  /** Of the session of HTTP/2: it was not executed, and may be sent again (RFC 9113 section 8.7). */
  isRefused: boolean
  /** What the caller saw instead of an answer; `null`: nothing was wrong. */
  error: string | null
  /** From the request to the end, in ms. */
  ms: number
}

/** Where a client is, and where it wants to go. */
export interface Route extends AppAt { from: string }

/** A client with one connection at a time, which it keeps as long as the server does. Nothing is sent twice. */
export interface Client {
  ask (request: Request): Promise<Answer>
  /** How long each handshake of TCP took, in ms. */
  readonly handshakes: number[]
  close (): void
}

/** `fresh`: a connection for each request. */
export function createClient (route: Route, fresh = false): Client {
  return route.protocol === 'h2c' || route.protocol === 'h2' ? http2Client(route, fresh) : http1Client(route, fresh)
}

const block = 4096

function http1Client ({ protocol, host, port, from }: Route, fresh: boolean): Client {
  const [send, OwnAgent] = protocol === 'https' ? [requestHttps, SecureAgent] : [requestHttp, Agent]
  const agent = new OwnAgent({ keepAlive: !fresh, maxSockets: fresh ? Infinity : 1, rejectUnauthorized: false } as object)
  const handshakes: number[] = []
  return {
    handshakes,
    close: () => agent.destroy(),
    ask ({ id, path, upload, chunked }) {
      const began = performance.now()
      const headers = upload === undefined ? {} : { 'content-type': 'text/plain', ...chunked === true ? {} : { 'content-length': upload } }
      return new Promise(resolve => {
        let response: IncomingMessage | null = null
        const end = (bytes: number, isWhole: boolean, error: string | null): void =>
          resolve({ id, status: response?.statusCode ?? 0, bytes, isWhole, isRefused: false, error, ms: performance.now() - began })
        const request: ClientRequest = send({ host, port, path, localAddress: from, agent, headers, method: upload === undefined ? 'GET' : 'POST' })
        request.on('socket', socket => { timeHandshake(socket, handshakes) })
        request.on('response', message => {
          response = message
          read(message, id, end)
        })
        // Node says "socket hang up" of a FIN in place of an answer, and "read ECONNRESET" of an RST.
        request.on('error', error => end(0, false, error.message))
        write(request, upload)
      })
    }
  }
}

function http2Client ({ protocol, host, port, from }: Route, fresh: boolean): Client {
  const handshakes: number[] = []
  let session: ClientHttp2Session | null = null
  return {
    handshakes,
    close () { session?.destroy() },
    ask ({ id, path, upload }) {
      const began = performance.now()
      const asked = session ?? (session = open())
      return new Promise(resolve => {
        let status = 0
        const stream = asked.request({ ':path': path, ':method': upload === undefined ? 'GET' : 'POST', 'content-type': 'text/plain' }, { endStream: upload === undefined })
        const end = (bytes: number, isWhole: boolean, error: string | null): void => {
          const isRefused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM
          resolve({ id, status, bytes, isWhole, isRefused, error, ms: performance.now() - began })
          if (fresh) asked.close()
        }
        stream.on('response', (headers: IncomingHttpHeaders) => { status = Number(headers[':status']) })
        read(stream, id, end)
        stream.on('close', () => end(0, false, `closed with ${stream.rstCode}`))
        write(stream, upload)
      })
    }
  }

  function open (): ClientHttp2Session {
    const made = connectHttp2(`${protocol === 'h2' ? 'https' : 'http'}://${host}:${port}`, {
      createConnection () {
        const raw = connect({ host, port, localAddress: from })
        timeHandshake(raw, handshakes)
        return protocol === 'h2' ? connectTls({ socket: raw, ALPNProtocols: ['h2'], rejectUnauthorized: false }) : raw
      }
    })
    const forget = (): void => { if (fresh || session === made) session = null }
    made.on('goaway', forget)
    made.on('close', forget)
    made.on('error', forget)
    if (fresh) queueMicrotask(forget)
    return made
  }
}

function timeHandshake (socket: Socket, handshakes: number[]): void {
  if (!socket.connecting) return
  const began = performance.now()
  socket.once('connect', () => handshakes.push(performance.now() - began))
}

function read (stream: Readable, id: string, end: (bytes: number, isWhole: boolean, error: string | null) => void): void {
  let bytes = 0
  let tail = ''
  stream.setEncoding('latin1')
  stream.on('data', (text: string) => {
    bytes += text.length
    tail = (tail + text).slice(-id.length)
  })
  stream.on('end', () => end(bytes, tail === id, null))
  stream.on('error', error => end(bytes, false, error.message))
}

function write (stream: Writable, upload: number | undefined): void {
  if (upload === undefined) {
    stream.end()
    return
  }
  for (let left = upload; left > 0; left -= block) stream.write('x'.repeat(Math.min(left, block)))
  stream.end()
}
