/*
 * As much HTTP/2 as load needs that costs next to nothing: one GET at a time in each session. RFC 9113, and RFC 7541 for the header block.
 */

const largest = 2 ** 31 - 1
const [DATA, HEADERS, SETTINGS, PING] = [0, 1, 4, 6]
const END_STREAM = 1
const ACK = 1
const headLength = 9
// Indexed :status 200
const status200 = 0x88

/** What a client says first: windows so large that they hold nothing up. */
export function preface () {
  const window = Buffer.alloc(6)
  window.writeUInt16BE(4)
  window.writeUInt32BE(largest, 2)
  const more = Buffer.alloc(4)
  more.writeUInt32BE(largest - 65_535)
  return Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, 0, 0, window), frame(8, 0, 0, more)])
}

/** The bytes of a GET, on another stream each time. */
export function getter (path) {
  const literal = (index, text) => Buffer.concat([Buffer.from([index, text.length]), Buffer.from(text)])
  // :method GET and :scheme http from the static table, :path and :authority as literals that are not indexed.
  const get = frame(HEADERS, 4 | END_STREAM, 1, Buffer.concat([Buffer.from([0x82, 0x86]), literal(4, path), literal(1, '127.0.0.1')]))
  let stream = -1
  return () => {
    stream += 2
    const bytes = Buffer.from(get)
    bytes.writeUInt32BE(stream, 5)
    return bytes
  }
}

/**
 * Reads what the server sends.
 *
 * @param {object} on
 * @param {() => void} on.answer a stream has ended
 * @param {(bytes: Buffer) => void} on.reply these bytes must go back
 * @param {(error: Error) => void} on.error
 */
export function frameReader ({ answer, reply, error }) {
  let rest = Buffer.alloc(0)
  return chunk => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= headLength) {
      const end = headLength + rest.readUIntBE(0, 3)
      if (rest.length < end) return
      read(rest[3], rest[4], rest.subarray(headLength, end))
      rest = rest.subarray(end)
    }
  }

  function read (type, flags, payload) {
    if (type === SETTINGS && !(flags & ACK)) return reply(frame(SETTINGS, ACK, 0))
    if (type === PING && !(flags & ACK)) return reply(frame(PING, ACK, 0, payload))
    // Behind a change of the table's size the status is not the first byte.
    if (type === HEADERS && payload[0] !== status200 && !(payload[0] >> 5 === 1 && payload.includes(status200))) {
      return error(new Error('The server should answer 200'))
    }
    if (type > HEADERS && ![SETTINGS, PING, 8].includes(type)) return error(new Error(`The server sent a frame of type ${type} during the measurement`))
    if ((type === DATA || type === HEADERS) && flags & END_STREAM) answer()
  }
}

function frame (type, flags, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(headLength)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
