import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls'
import { rawClient, type RawClient } from './raw-client.ts'

interface Teardown { teardown (fn: () => unknown): void }

export interface To { host: string, port: number }

/** What a client sends and receives in the clear, whatever carries it. It answers no FIN and no close_notify by itself. */
export interface Wire {
  /** The TCP connection below, with its visible bytes. */
  readonly raw: RawClient
  readonly socket: Socket | TLSSocket
  /** Everything received so far, as latin1. */
  readonly received: string
  /** The server has ended its side: FIN, or close_notify. */
  readonly sawEnd: boolean
  /** Code of the error that ended it: of TCP, or of TLS. */
  readonly error: string | null
  onData (fn: (text: string) => void): void
  write (bytes: string | Buffer): void
  /** Our side is over: FIN, with close_notify before it where there is TLS. */
  end (): void
  /** Resolves when this is the case; rejects when the connection has ended before. */
  until (isSo: () => boolean, what: string): Promise<void>
}

export async function plainWire (t: Teardown, to: To): Promise<Wire> {
  const raw = await rawClient(t, to)
  return wireOver(raw, raw.socket)
}

export interface SecureOptions extends ConnectionOptions {
  /** How many times the client may write before the rest is held back: each flight of a handshake is one write. */
  flights?: number
  /** Our close_notify goes out without a FIN behind it. */
  withoutFin?: boolean
}

export interface SecureWire extends Wire {
  readonly socket: TLSSocket
  /** Lets go of what was held back. */
  release (): void
  /** Resolves when the handshake is over. */
  readonly secured: Promise<void>
}

export interface TlsRecord { type: number, length: number }

/** A TLS client on a raw client that shows every byte. */
export async function secureWire (t: Teardown, to: To, { flights = Infinity, withoutFin = false, ...options }: SecureOptions = {}): Promise<SecureWire> {
  const raw = await rawClient(t, to)
  const held: Array<() => void> = []
  let left = flights
  const below = new Duplex({
    allowHalfOpen: true,
    read () {},
    write (bytes, _encoding, done) {
      const send = (): void => { raw.socket.write(bytes, error => done(error)) }
      if (left-- > 0) send()
      else held.push(send)
    },
    final (done) { if (withoutFin) done(); else raw.socket.end(done) },
    destroy (error, done) { if (!withoutFin) raw.socket.end(); done(error) }
  })
  raw.socket.on('data', (text: string) => below.push(Buffer.from(text, 'latin1')))
  raw.socket.on('end', () => below.push(null))
  raw.socket.on('close', () => below.destroy())
  const socket = tls.connect({ socket: below, rejectUnauthorized: false, ...options })
  // tls.connect() passes allowHalfOpen on to the sockets that it makes, which this one is not.
  socket.allowHalfOpen = true
  t.teardown(() => { socket.destroy() })
  const wire = wireOver(raw, socket)
  const secured = once(socket, 'secureConnect').then(() => {})
  secured.catch(() => {})
  return Object.assign(Object.create(wire) as Wire & { socket: TLSSocket }, {
    secured,
    release () {
      left = Infinity
      for (const send of held.splice(0)) send()
    }
  })
}

// RFC 8446 section 5.1: type, version (2 bytes), length (2 bytes).
export function recordsOf (raw: RawClient): TlsRecord[] {
  const bytes = Buffer.from(raw.received, 'latin1')
  const records: TlsRecord[] = []
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    records.push({ type: bytes.readUInt8(at), length: bytes.readUInt16BE(at + 3) })
  }
  return records
}

// An alert shows in TLS 1.2. In 1.3 every record pretends to be data, but this one is as short as an alert: level,
// description, the true type, and 16 bytes of authentication.
export function isAlert ({ type, length }: TlsRecord): boolean {
  return type === 21 || (type === 23 && length === 19)
}

function wireOver (raw: RawClient, socket: Socket | TLSSocket): Wire {
  let received = ''
  let sawEnd = false
  let error: string | null = null
  const readers: Array<(text: string) => void> = []
  const changed = new Set<() => void>()
  const notify = (): void => { for (const check of [...changed]) check() }

  socket.setEncoding('latin1')
  socket.on('data', (text: string) => {
    received += text
    for (const read of readers) read(text)
    notify()
  })
  socket.on('end', () => { sawEnd = true; notify() })
  socket.on('error', (err: NodeJS.ErrnoException) => { error ??= err.code ?? err.message; notify() })
  socket.on('close', notify)
  if (socket !== raw.socket) raw.socket.on('close', notify)

  return {
    raw,
    socket,
    get received () { return received },
    get sawEnd () { return sawEnd },
    get error () { return error ?? raw.error },
    onData (fn) { readers.push(fn) },
    write (bytes) { socket.write(bytes, 'latin1') },
    end () {
      // After an error of TLS only TCP is left.
      if (socket.destroyed) raw.halfClose()
      else socket.end()
    },
    until (isSo, what) {
      return new Promise((resolve, reject) => {
        const over = (): boolean => sawEnd || socket.destroyed || raw.socket.destroyed || raw.error !== null || error !== null
        const check = (): void => {
          const so = isSo()
          if (!so && !over()) return
          changed.delete(check)
          if (so) resolve()
          else reject(new Error(`the connection ended (${error ?? raw.error ?? (sawEnd ? 'by the server' : 'closed')}) before ${what}; received ${JSON.stringify(received.slice(0, 500))}`))
        }
        changed.add(check)
        check()
      })
    }
  }
}

/**
 * Whether the server reads what is sent to it, rather than answer with RST: an RST makes one of the writes after it fail.
 * To be asked after the server's FIN, too, when nothing is read any more and an RST would go unnoticed.
 */
export async function takes ({ socket, raw }: Wire, bytes: string | Buffer): Promise<boolean> {
  for (let i = 0; i < 3; i++) {
    const error = await new Promise<Error | null | undefined>(resolve => { socket.write(bytes, 'latin1', resolve) })
    if (error != null) return false
    await sleep(20)
  }
  return raw.error === null
}

/** Waits for the server's FIN, then closes too; the code of the error that ended the connection, if any. */
export async function leave (wire: Wire): Promise<string | null> {
  await wire.raw.fin().catch(() => {})
  wire.end()
  await wire.raw.closed()
  return wire.raw.error
}

/** The code of the error that ends a connection which the server resets. */
export async function brokenBy ({ raw }: Wire): Promise<string | null> {
  await Promise.race([raw.closed(), raw.fin().catch(() => {})])
  // libuv calls it the end, too, when it has read something and the connection is gone. The kernel knows better.
  if (raw.sawFin && raw.error === null) raw.write('?')
  return raw.closed()
}
