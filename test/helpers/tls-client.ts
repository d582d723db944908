import { once } from 'node:events'
import { Duplex } from 'node:stream'
import tls, { type TLSSocket } from 'node:tls'
import { rawClient, type RawClient } from './raw-client.ts'

export interface TlsClient {
  socket: TLSSocket
  /** The connection below. It answers no FIN by itself. */
  raw: RawClient
  /** The plain text received so far, as latin1. */
  readonly received: string
  /** The types of the records received so far; 21 is an alert, of which close_notify is one. */
  readonly records: number[]
  /** The peer's close_notify, or its FIN, has arrived. */
  readonly sawEnd: boolean
  until (fits: RegExp): Promise<string>
}

/** A TLS 1.2 client, whose record types can be seen from outside, on a raw client that shows every byte. */
export async function tlsClient (
  t: { teardown (fn: () => unknown): void },
  to: { host: string, port: number }
): Promise<TlsClient> {
  const raw = await rawClient(t, to)
  const below = new Duplex({
    allowHalfOpen: true,
    read () {},
    write (bytes, _encoding, done) { raw.socket.write(bytes, () => done()) },
    final (done) { raw.socket.end(done) },
    destroy (error, done) { raw.socket.destroy(); done(error) }
  })
  raw.socket.on('data', (text: string) => below.push(Buffer.from(text, 'latin1')))
  raw.socket.on('end', () => below.push(null))
  // tls.connect() passes allowHalfOpen on to the sockets that it makes, which this one is not.
  const socket = tls.connect({ socket: below, rejectUnauthorized: false, maxVersion: 'TLSv1.2' })
  socket.allowHalfOpen = true
  t.teardown(() => socket.destroy())
  let received = ''
  let sawEnd = false
  socket.on('error', () => {})
  socket.on('end', () => { sawEnd = true })
  socket.setEncoding('latin1').on('data', (text: string) => { received += text })
  await once(socket, 'secureConnect')
  return {
    socket,
    raw,
    get received () { return received },
    get records () { return recordTypes(Buffer.from(raw.received, 'latin1')) },
    get sawEnd () { return sawEnd },
    async until (fits) {
      while (!fits.test(received)) await once(socket, 'data')
      return received
    }
  }
}

// RFC 5246 section 6.2.1: type, version (2 bytes), length (2 bytes).
function recordTypes (bytes: Buffer): number[] {
  const types: number[] = []
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) types.push(bytes.readUInt8(at))
  return types
}
