/*
 * The bytes of an HTTP/2 client, for tests that say what is sent and when; RFC 9113 and, for the header block, RFC 7541.
 */

const largest = 2 ** 31 - 1

/** The preface, and windows so large that only TCP holds anything up. */
export function http2Preface (): Buffer {
  const window = Buffer.alloc(6)
  // SETTINGS_INITIAL_WINDOW_SIZE
  window.writeUInt16BE(4)
  window.writeUInt32BE(largest, 2)
  const more = Buffer.alloc(4)
  more.writeUInt32BE(largest - 65_535)
  return Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, window), frame(8, 0, 0, more)])
}

/** Acknowledges the settings of the server. */
export function http2SettingsAck (): Buffer {
  return frame(4, 1, 0)
}

/** A whole GET request. */
export function http2Get (path: string, stream = 1): Buffer {
  const literal = (index: number, text: string): Buffer => Buffer.concat([Buffer.from([index, text.length]), Buffer.from(text)])
  // :method GET and :scheme http from the static table, :path and :authority as literals that are not indexed.
  const block = Buffer.concat([Buffer.from([0x82, 0x86]), literal(4, path), literal(1, 'test')])
  // HEADERS with END_HEADERS and END_STREAM
  return frame(1, 5, stream, block)
}

/** One frame. */
export function frame (type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
