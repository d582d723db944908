import type { RawClient } from './raw-client.ts'

export interface Frame {
  type: number
  flags: number
  stream: number
  payload: Buffer
}

/** The types of RFC 9113 section 6 that the tests speak of. */
export const frameTypes = { DATA: 0, HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7 } as const

/**
 * Collects the frames that arrive from now on; the list grows. One that begins in the middle of another shows as a type that
 * does not exist.
 */
export function collectFrames (client: RawClient): Frame[] {
  const frames: Frame[] = []
  let bytes = Buffer.alloc(0)
  client.socket.on('data', (text: string) => {
    bytes = Buffer.concat([bytes, Buffer.from(text, 'latin1')])
    let at = 0
    for (let end = endOf(bytes, at); end <= bytes.length; end = endOf(bytes, at)) {
      frames.push({ type: bytes.readUInt8(at + 3), flags: bytes.readUInt8(at + 4), stream: bytes.readUInt32BE(at + 5), payload: bytes.subarray(at + 9, end) })
      at = end
    }
    bytes = bytes.subarray(at)
  })
  return frames
}

function endOf (bytes: Buffer, at: number): number {
  return at + 9 > bytes.length ? Infinity : at + 9 + bytes.readUIntBE(at, 3)
}

export interface GoawayFrame { last: number, code: number }

/** What the GOAWAY frames say, in order. */
export function goawaysOf (frames: Frame[]): GoawayFrame[] {
  return frames.filter(({ type }) => type === frameTypes.GOAWAY).map(({ payload }) => ({ last: payload.readUInt32BE(0), code: payload.readUInt32BE(4) }))
}

/** The ACK of a PING frame. */
export function pingAck ({ payload }: Frame): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 8, frameTypes.PING, 1, 0, 0, 0, 0]), payload])
}
