import { setTimeout as sleep } from 'node:timers/promises'
import { garbage } from '../helpers/fuzz-random.ts'
import type { Rude, RudeDeed } from './rude.ts'
import { connectWire, type Wire } from './rude-wire.ts'
import { frame, http2Get, http2Preface, http2SettingsAck } from '../helpers/http2-bytes.ts'

const [HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = [1, 3, 4, 6, 7, 8, 9]

function number (value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function open ({ server, random, keep }: Rude): Wire {
  const wire = connectWire(server, 'h2')
  keep(wire.raw)
  wire.socket.resume()
  wire.socket.write(http2Preface())
  // Some never acknowledge the settings, and most open a stream.
  if (random.int(0, 2) > 0) wire.socket.write(http2SettingsAck())
  if (random.int(0, 2) > 0) wire.socket.write(http2Get('/slow'))
  return wire
}

/** Writes pieces with pauses, so that the drain begins among them. */
async function pour (rude: Rude, { socket }: Wire, pieces: number, piece: (i: number) => Buffer): Promise<void> {
  for (let i = 0; i < pieces && !rude.over && socket.writable; i++) {
    socket.write(piece(i))
    await sleep(rude.random.int(0, 8))
  }
}

function times (count: number, bytes: (i: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => bytes(i)))
}

export const rudeHttp2: Record<string, RudeDeed> = {
  'HTTP/2: a flood of PINGs': rude => pour(rude, open(rude), 20, () => times(rude.random.int(1, 200), () => frame(PING, 0, 0, Buffer.alloc(8)))),

  async 'HTTP/2: a flood of PINGs, nothing read' (rude) {
    const wire = open(rude)
    wire.socket.pause()
    await pour(rude, wire, 20, () => times(200, () => frame(PING, 0, 0, Buffer.alloc(8))))
  },

  'HTTP/2: a flood of SETTINGS': rude => pour(rude, open(rude), 20, () => times(rude.random.int(1, 100), () => frame(SETTINGS, 0, 0))),

  'HTTP/2: ACKs that nobody waits for': rude => pour(rude, open(rude), 5, () => rude.random.pick([frame(PING, 1, 0, Buffer.alloc(8)), frame(SETTINGS, 1, 0)])),

  'HTTP/2: streams that are reset at once': rude => pour(rude, open(rude), 20, i => times(20, k => {
    const stream = 3 + 2 * (20 * i + k)
    return Buffer.concat([http2Get('/slow', stream), frame(RST_STREAM, 0, stream, number(8))])
  })),

  'HTTP/2: GOAWAY, then goes on': rude => pour(rude, open(rude), 10, i => Buffer.concat([
    frame(GOAWAY, 0, 0, Buffer.concat([number(rude.random.pick([0, 1, 2 ** 31 - 1])), number(rude.random.pick([0, 2, 11]))])),
    http2Get('/now', 3 + 2 * i)
  ])),

  'HTTP/2: frames of any type': rude => pour(rude, open(rude), 10, () =>
    frame(rude.random.int(0, 12), rude.random.int(0, 255), rude.random.pick([0, 1, 2, 3, 99]), garbage(rude.random, rude.random.int(0, 40)))),

  'HTTP/2: a header block of garbage': rude => pour(rude, open(rude), 3, i => frame(HEADERS, 5, 3 + 2 * i, garbage(rude.random, 40))),

  'HTTP/2: header blocks without an end': rude => pour(rude, open(rude), 20, i =>
    i === 0 ? frame(HEADERS, 1, 3, Buffer.from([0x82, 0x86])) : frame(CONTINUATION, 0, 3, garbage(rude.random, 20))),

  'HTTP/2: a window too large, or too small': rude => pour(rude, open(rude), 2, () =>
    frame(WINDOW_UPDATE, 0, rude.random.pick([0, 1]), number(rude.random.pick([0, 2 ** 31 - 1])))),

  'HTTP/2: no window, many answers' (rude) {
    const wire = open(rude)
    const none = Buffer.concat([Buffer.from([0, 4]), number(0)])
    return pour(rude, wire, 5, i => Buffer.concat([frame(SETTINGS, 0, 0, none), http2Get('/now', 3 + 2 * i)]))
  },

  'HTTP/2: half a frame' (rude) {
    const bytes = Buffer.concat([http2Preface(), http2Get('/now')])
    const wire = connectWire(rude.server, 'h2')
    rude.keep(wire.raw)
    wire.socket.resume()
    wire.socket.write(bytes.subarray(0, rude.random.int(1, bytes.length - 1)))
  },

  async 'HTTP/2: breaks off' (rude) {
    const wire = open(rude)
    await pour(rude, wire, rude.random.int(1, 10), i => http2Get('/slow', 3 + 2 * i))
    rude.random.pick([() => wire.raw.resetAndDestroy(), () => wire.raw.end(), () => wire.socket.end()])()
  }
}
