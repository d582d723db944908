import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import tls from 'node:tls'
import { WebSocket, type ClientOptions } from 'ws'
import { tlsOptions } from './tls.ts'

interface Test { teardown (fn: () => unknown): void }

export interface To { host: string, port: number }

/** The servers that WebSockets connect to. */
export const servers = [
  { name: 'http', server: {}, secure: false },
  { name: 'https', server: { https: tlsOptions }, secure: true },
  { name: 'https on a secure HTTP/2 server', server: { http2: true, https: { ...tlsOptions, allowHTTP1: true } }, secure: true }
]

export interface Closed { code: number, reason: string, wasClean: boolean }

export interface Client {
  socket: WebSocket
  /** The text messages so far. */
  messages: string[]
  /** What its 'close' event says, when it has come. */
  closed: Promise<Closed>
  /** Resolves when it has received this message. */
  until (message: string): Promise<void>
}

/** A client of the package ws; resolves when it is open. Ended on teardown. */
export async function client (t: Test, { host, port }: To, { secure = false, path = '/', ...options }: { secure?: boolean, path?: string } & ClientOptions = {}): Promise<Client> {
  const socket = new WebSocket(`${secure ? 'wss' : 'ws'}://${host}:${port}${path}`, { rejectUnauthorized: false, ...options })
  t.teardown(() => socket.terminate())
  const messages: string[] = []
  const waiting = new Set<() => void>()
  const closed = new Promise<Closed>(resolve => {
    socket.addEventListener('close', ({ code, reason, wasClean }) => {
      resolve({ code, reason, wasClean })
      for (const check of waiting) check()
    })
  })
  socket.on('message', data => {
    messages.push(String(data))
    for (const check of waiting) check()
  })
  await once(socket, 'open')
  return {
    socket,
    messages,
    closed,
    until: message => new Promise((resolve, reject) => {
      const check = (): void => {
        if (messages.includes(message)) resolve()
        else if (socket.readyState === WebSocket.CLOSED) reject(new Error(`closed before the message ${message}`))
        else return
        waiting.delete(check)
      }
      waiting.add(check)
      check()
    })
  }
}

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }

export interface Frame {
  opcode: number
  /** The last one of its message. */
  final: boolean
  payload: Buffer
}

export interface RawWebSocket {
  /** The answer to the handshake. */
  readonly head: string
  readonly frames: readonly Frame[]
  /** Code and reason of every close frame so far. */
  readonly closes: Array<{ code: number, reason: string }>
  /** The server's FIN has arrived. */
  readonly sawFin: boolean
  /** Code of the error that ended the connection, such as `ECONNRESET`. */
  readonly error: string | null
  write (bytes: Buffer | string): void
  send (opcode: number, payload?: Buffer | string, options?: { final?: boolean }): void
  /** A close frame. */
  close (code: number): void
  /** Our FIN; reads stay open. */
  halfClose (): void
  /** RST. */
  reset (): void
  pause (): void
  resume (): void
  /** Resolves when this is so; rejects when the connection has ended before, or after 20 s. */
  until (fits: (client: RawWebSocket) => boolean): Promise<void>
  /** Resolves when the connection is gone for good, with the error code, if any; rejects after 20 s. */
  ended (): Promise<string | null>
}

/** The request that begins a WebSocket. */
export function handshake (path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
    `sec-websocket-version: 13\r\nsec-websocket-key: ${randomBytes(16).toString('base64')}\r\n\r\n`
}

/**
 * A WebSocket client that does exactly what it is told: it answers neither close frame nor FIN by itself, and what it
 * receives can be seen frame by frame. Resolves when connected, or with `path` when upgraded. Destroyed on teardown.
 */
export async function rawWebSocket (t: Test, { host, port }: To, { secure = false, path }: { secure?: boolean, path?: string } = {}): Promise<RawWebSocket> {
  const options = { host, port, allowHalfOpen: true }
  const socket = secure
    ? tls.connect({ ...options, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] } as tls.ConnectionOptions)
    : connect(options)
  // What a socket of tls.connect() does not take from its options.
  socket.allowHalfOpen = true
  let head = ''
  let rest: Buffer = Buffer.alloc(0)
  let sawFin = false
  let error: string | null = null
  let gone = false
  const frames: Frame[] = []
  const changed = new Set<() => void>()
  const notify = (): void => { for (const check of [...changed]) check() }

  socket.setNoDelay(true)
  socket.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes])
    if (head === '') {
      const end = rest.indexOf('\r\n\r\n')
      if (end < 0) return
      head = rest.toString('latin1', 0, end + 4)
      rest = rest.subarray(end + 4)
    }
    if (head.startsWith('HTTP/1.1 101 ')) rest = takeFrames(rest, frames)
    notify()
  })
  socket.on('end', () => { sawFin = true; notify() })
  socket.on('error', (err: NodeJS.ErrnoException) => { error = err.code ?? err.message; notify() })
  socket.on('close', () => { gone = true; notify() })
  t.teardown(() => { socket.destroy() })

  const client: RawWebSocket = {
    get head () { return head },
    get frames () { return frames },
    get closes () {
      return frames.filter(({ opcode }) => opcode === opcodes.close).map(({ payload }) => ({
        code: payload.length < 2 ? 1005 : payload.readUInt16BE(0), reason: payload.toString('utf8', 2)
      }))
    },
    get sawFin () { return sawFin },
    get error () { return error },
    write (bytes) { socket.write(bytes) },
    send (opcode, payload = '', { final = true } = {}) { socket.write(frameOf(opcode, Buffer.from(payload), final)) },
    close (code) {
      const payload = Buffer.alloc(2)
      payload.writeUInt16BE(code)
      this.send(opcodes.close, payload)
    },
    halfClose () { socket.end() },
    reset () { socket.resetAndDestroy() },
    pause () { socket.pause() },
    resume () { socket.resume() },
    until (fits) { return wait(() => fits(client), () => gone || sawFin || error !== null) },
    async ended () {
      await wait(() => gone, () => false)
      return error
    }
  }
  await wait(() => !socket.connecting && (!secure || (socket as tls.TLSSocket).getProtocol() !== null), () => gone, socket, secure ? 'secureConnect' : 'connect')
  if (path !== undefined) {
    socket.write(handshake(path))
    await client.until(() => head !== '')
  }
  return client

  function wait (done: () => boolean, over: () => boolean, also?: typeof socket, event = ''): Promise<void> {
    return new Promise((resolve, reject) => {
      let isLate = false
      const timer = setTimeout(() => { isLate = true; check() }, 20_000)
      const check = (): void => {
        if (!done() && !over() && !isLate) return
        clearTimeout(timer)
        changed.delete(check)
        also?.off(event, check)
        if (done()) return resolve()
        const state = error ?? (gone ? 'closed' : sawFin ? 'FIN' : 'open')
        reject(new Error(`what was awaited did not come true (${state}); ${frames.length} frames, ${JSON.stringify(head)}`))
      }
      changed.add(check)
      also?.on(event, check)
      check()
    })
  }
}

// RFC 6455 section 5.2. What a server sends is not masked.
/** Takes the whole frames off the bytes of a server; what is left is the beginning of the next. */
export function takeFrames (bytes: Buffer, into: Frame[]): Buffer {
  while (bytes.length >= 2) {
    const [first = 0, second = 0] = bytes
    const short = second & 0x7f
    const lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0
    if (bytes.length < 2 + lengthBytes) break
    const length = lengthBytes === 8 ? Number(bytes.readBigUInt64BE(2)) : lengthBytes === 2 ? bytes.readUInt16BE(2) : short
    const start = 2 + lengthBytes
    if (bytes.length < start + length) break
    into.push({ opcode: first & 0x0f, final: (first & 0x80) !== 0, payload: bytes.subarray(start, start + length) })
    bytes = bytes.subarray(start + length)
  }
  return bytes
}

/** The bytes of a frame as a client sends it. */
export function frameOf (opcode: number, payload: Buffer, final: boolean): Buffer {
  const length = payload.length
  const head = Buffer.alloc(length > 65_535 ? 10 : length > 125 ? 4 : 2)
  head[0] = (final ? 0x80 : 0) | opcode
  head[1] = 0x80 | (head.length === 10 ? 127 : head.length === 4 ? 126 : length)
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2)
  else if (head.length === 4) head.writeUInt16BE(length, 2)
  const mask = randomBytes(4)
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4]!)])
}
