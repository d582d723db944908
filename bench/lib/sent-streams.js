import { Duplex } from 'node:stream'

const prefaceLength = 24
const headLength = 9
const HEADERS = 1

/**
 * Stands between an HTTP/2 client's session and its socket, and notes which streams were sent. Node's client refuses by itself
 * what it had queued when GOAWAY came, with the same code as the server would; only the bytes tell the two apart.
 */
export class SentStreams extends Duplex {
  #socket
  #ids = new Set()
  #skip = prefaceLength
  #head = Buffer.alloc(0)

  constructor (socket) {
    super({ allowHalfOpen: true })
    this.#socket = socket
    socket.on('data', chunk => { if (!this.push(chunk)) socket.pause() })
    socket.on('end', () => this.push(null))
    socket.on('error', error => this.destroy(error))
    socket.on('close', () => this.destroy())
  }

  has (id) {
    return this.#ids.has(id)
  }

  /** The stream is over: nobody will ask for it any more. */
  forget (id) {
    this.#ids.delete(id)
  }

  _read () {
    this.#socket.resume()
  }

  _write (chunk, encoding, done) {
    this.#note(chunk)
    this.#socket.write(chunk, done)
  }

  _writev (chunks, done) {
    const whole = Buffer.concat(chunks.map(({ chunk }) => chunk))
    this._write(whole, null, done)
  }

  _final (done) {
    this.#socket.end(done)
  }

  _destroy (error, done) {
    this.#socket.destroy()
    done(error)
  }

  // RFC 9113 section 4.1: length (3 bytes), type, flags, stream (4 bytes).
  #note (chunk) {
    let rest = chunk
    while (rest.length > 0) {
      const skipped = Math.min(this.#skip, rest.length)
      this.#skip -= skipped
      rest = rest.subarray(skipped)
      if (rest.length === 0) return

      const missing = headLength - this.#head.length
      this.#head = Buffer.concat([this.#head, rest.subarray(0, missing)])
      rest = rest.subarray(missing)
      if (this.#head.length < headLength) return
      if (this.#head[3] === HEADERS) this.#ids.add(this.#head.readUInt32BE(5) & 0x7fffffff)
      this.#skip = this.#head.readUIntBE(0, 3)
      this.#head = Buffer.alloc(0)
    }
  }
}
