import type { AskOptions, Client, Exchange } from './exchange.ts'
import { frame } from './http2-bytes.ts'
import type { Wire } from './wire.ts'

/*
 * A client of HTTP/2 whose every frame is made by hand and can be seen; RFC 9113 and, for the header blocks, RFC 7541.
 */

export const type = { data: 0, headers: 1, rstStream: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 } as const
export const code = { noError: 0, refusedStream: 7, cancel: 8 } as const
const endStream = 1
const endHeaders = 4
const ack = 1
const largest = 2 ** 31 - 1

export interface Frame { type: number, flags: number, stream: number, payload: Buffer }
export interface Goaway { lastStream: number, code: number }

export interface Http2Options {
  /** What the server may send on a stream, in bytes, before it is granted more; the connection's window is as large as can be. */
  window?: number
  /** PING frames are not answered. */
  ignoresPing?: boolean
}

export interface Http2Client extends Client {
  /** What the server has sent so far. */
  readonly frames: Frame[]
  /** The GOAWAY frames of the server so far, without those that only repeat the one before. */
  readonly goaways: Goaway[]
  /** How many PING frames of the server have not been answered yet. */
  readonly pings: number
  /** Sends a PING; the function tells whether it was answered. */
  ping (): () => boolean
  /** Answers the PING frames that have come. */
  pong (): void
  /** Lets the server send this much more on a stream. */
  grant (exchange: Exchange, bytes: number): void
  /** Ends a stream. */
  reset (exchange: Exchange, code?: number): void
  /** Our GOAWAY. */
  goaway (): void
  streamOf (exchange: Exchange): number
}

/** Sends the preface; everything else is up to the caller, except for the acknowledgement of SETTINGS. */
export function http2Client (wire: Wire, { window = largest, ignoresPing = false }: Http2Options = {}): Http2Client {
  const frames: Frame[] = []
  const goaways: Goaway[] = []
  const streams = new Map<Exchange, number>()
  const pings: Frame[] = []
  let next = 1
  let pongs = 0
  let rest = Buffer.alloc(0)

  // What the server lets us send.
  const windows = new Map<number, number>([[0, 65_535]])
  let waiting: Array<{ stream: number, bytes: Buffer, last: boolean }> = []

  wire.onData(text => {
    rest = Buffer.concat([rest, Buffer.from(text, 'latin1')])
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3)
      seen({ type: rest.readUInt8(3), flags: rest.readUInt8(4), stream: rest.readUInt32BE(5) & largest, payload: rest.subarray(9, end) })
      rest = rest.subarray(end)
    }
  })
  wire.write(preface(window))

  const client: Http2Client = {
    wire,
    frames,
    goaways,
    // An acknowledgement of SETTINGS that nobody has sent would be an error; a PING is answered.
    trifle: frame(type.windowUpdate, 0, 0, uint32(1)),
    get pings () { return pings.length },
    get isTold () { return goaways.some(({ lastStream }) => lastStream < largest) },
    prepare,
    ask (path, options) {
      const exchange = prepare(path, options)
      wire.write(exchange.bytes)
      return exchange
    },
    ping () {
      const before = pongs
      wire.write(frame(type.ping, 0, 0, Buffer.alloc(8)))
      return () => pongs > before
    },
    pong () {
      for (const { payload } of pings.splice(0)) wire.write(frame(type.ping, ack, 0, payload))
    },
    grant (exchange, bytes) { wire.write(frame(type.windowUpdate, 0, client.streamOf(exchange), uint32(bytes))) },
    reset (exchange, reason = code.cancel) { wire.write(frame(type.rstStream, 0, client.streamOf(exchange), uint32(reason))) },
    goaway () { wire.write(frame(type.goaway, 0, 0, Buffer.concat([uint32(0), uint32(code.noError)]))) },
    streamOf: exchange => streams.get(exchange) as number
  }
  return client

  function seen (received: Frame): void {
    frames.push(received)
    const { type: kind, flags, stream, payload } = received
    const answers = wire.socket.writable
    if (kind === type.settings && flags !== ack && answers) wire.write(frame(type.settings, ack, 0))
    if (kind === type.ping && flags !== ack) {
      pings.push(received)
      if (!ignoresPing && answers) client.pong()
    }
    if (kind === type.ping && flags === ack) pongs++
    if (kind === type.goaway) {
      const goaway = { lastStream: payload.readUInt32BE(0) & largest, code: payload.readUInt32BE(4) }
      if (goaways.at(-1)?.lastStream !== goaway.lastStream || goaways.at(-1)?.code !== goaway.code) goaways.push(goaway)
    }
    if (kind === type.windowUpdate) windows.set(stream, left(stream) + payload.readUInt32BE(0))
    // Answered early: what is left of the body is not wanted. RFC 9113 section 8.1
    if (kind === type.rstStream) waiting = waiting.filter(body => body.stream !== stream)
    if (kind === type.windowUpdate || kind === type.rstStream) sendBodies()
  }

  function left (stream: number): number {
    return windows.get(stream) ?? 65_535
  }

  function sendBodies (): void {
    for (let body = waiting[0]; body !== undefined; body = waiting[0]) {
      const { stream, bytes, last } = body
      const size = Math.min(bytes.length, left(0), left(stream), 16_384)
      if (size === 0 && bytes.length > 0) return
      windows.set(0, left(0) - size).set(stream, left(stream) - size)
      body.bytes = bytes.subarray(size)
      const isLast = last && body.bytes.length === 0
      wire.write(frame(type.data, isLast ? endStream : 0, stream, bytes.subarray(0, size)))
      if (body.bytes.length === 0) waiting.shift()
    }
  }

  function prepare (path: string, { method = 'GET', headers = {}, body = '' }: AskOptions = {}): Exchange {
    const stream = next
    next += 2
    const fields = { ':method': method, ':scheme': 'http', ':path': path, ':authority': 'test', ...headers }
    const block = Buffer.concat(Object.entries(fields).map(([name, value]) => literal(name, value)))
    const head = frame(type.headers, endHeaders | (body === '' ? endStream : 0), stream, block)
    const own = (): Frame[] => frames.filter(frame => frame.stream === stream)
    const heads = (): Frame[] => own().filter(frame => frame.type === type.headers)
    const statuses = (): number[] => heads().map(({ payload }) => statusOf(payload))
    const exchange: Exchange = {
      bytes: body === '' || body === null ? head : Buffer.concat([head, frame(type.data, endStream, stream, Buffer.from(body, 'latin1'))]),
      get statuses () { return statuses() },
      get body () { return own().filter(frame => frame.type === type.data).map(({ payload }) => payload.toString('latin1')).join('') },
      get end () {
        if (own().some(({ type: kind, flags }) => kind <= type.headers && (flags & endStream) !== 0)) return 'served'
        const reset = own().find(frame => frame.type === type.rstStream)?.payload.readUInt32BE(0)
        if (reset === code.refusedStream || goaways.some(({ lastStream }) => lastStream < stream)) return 'refused'
        return reset !== undefined || wire.sawEnd || wire.error !== null ? 'reset' : 'open'
      },
      get isSent () { return !waiting.some(body => body.stream === stream) && wire.raw.socket.writableLength === 0 },
      write (text) { send(text, false) },
      finish (text = '') { send(text, true) },
      async answer () {
        await wire.until(() => exchange.end !== 'open', `the answer to ${method} ${path}`)
        if (exchange.end !== 'served') throw new Error(`${method} ${path} on stream ${stream}: ${exchange.end}`)
        return { status: statuses().findLast(status => status >= 200) as number, headers: {}, body: exchange.body }
      },
      headed: () => wire.until(() => statuses().some(status => status >= 200), `a head that answers ${method} ${path}`)
    }
    streams.set(exchange, stream)
    return exchange

    function send (text: string, last: boolean): void {
      waiting.push({ stream, bytes: Buffer.from(text, 'latin1'), last })
      sendBodies()
    }
  }
}

/** No dynamic table, so that every header block says all by itself. */
function preface (window: number): Buffer {
  const settings = Buffer.concat([setting(1, 0), setting(4, window)])
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(type.settings, 0, 0, settings), frame(type.windowUpdate, 0, 0, uint32(largest - 1_000_000))
  ])
}

function setting (id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([0, id]), uint32(value)])
}

export function uint32 (value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

// Literal header field without indexing, new name; RFC 7541 section 6.2.2. Nothing here is 127 bytes long.
function literal (name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])
}

const indexed: Record<number, number> = { 8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500 }

/** The status is the first field of an answer; what may come before it is a size of the dynamic table. */
function statusOf (block: Buffer): number {
  let at = 0
  while ((block.readUInt8(at) & 0xe0) === 0x20) at++
  const first = block.readUInt8(at)
  if (first & 0x80) return indexed[first & 0x7f] ?? NaN
  const length = block.readUInt8(at + 1)
  const value = block.subarray(at + 2, at + 2 + (length & 0x7f))
  return Number(length & 0x80 ? digits(value) : value.toString())
}

// The Huffman code of digits: 0 to 2 are five bits, 3 to 9 are 25 to 31 in six; RFC 7541 appendix B.
function digits (bytes: Buffer): string {
  let bits = [...bytes].map(byte => byte.toString(2).padStart(8, '0')).join('')
  let text = ''
  while (text.length < 3) {
    const five = parseInt(bits.slice(0, 5), 2)
    const size = five <= 2 ? 5 : 6
    text += five <= 2 ? five : parseInt(bits.slice(0, 6), 2) - 22
    bits = bits.slice(size)
  }
  return text
}
