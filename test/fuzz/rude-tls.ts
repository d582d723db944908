import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { garbage } from '../helpers/fuzz-random.ts'
import type { Rude, RudeDeed } from './rude.ts'
import { connectRaw, connectWire, type Wire } from './rude-wire.ts'

const get = 'GET /slow HTTP/1.1\r\nHost: a\r\nid: rude\r\nms: 60\r\n\r\n'

/** With a request, or the first bytes of a session, under way. */
async function open ({ server, random, keep }: Rude, options = {}): Promise<Wire> {
  const protocol = server.http1 && random.int(0, 1) === 1 ? 'http/1.1' : server.http2 ? 'h2' : 'http/1.1'
  const wire = connectWire(server, protocol, options)
  keep(wire.raw)
  wire.socket.resume()
  await Promise.race([once(wire.socket, 'secureConnect'), once(wire.socket, 'close'), sleep(300)]).catch(() => {})
  if (wire.socket.writable) wire.socket.write(protocol === 'h2' ? 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0' : get)
  return wire
}

export const rudeTls: Record<string, RudeDeed> = {
  async 'TLS: a record that breaks off' ({ server, random, keep }) {
    const raw = keep(connectRaw(server.port))
    raw.resume()
    raw.write(Buffer.concat([Buffer.from([22, 3, 1, 2, 0]), garbage(random, random.int(0, 100))]))
    await sleep(random.int(0, 200))
    random.pick([() => {}, () => raw.end(), () => raw.resetAndDestroy()])()
  },

  async 'TLS: a handshake that breaks off' (rude) {
    const { raw } = connectWire(rude.server, 'http/1.1')
    rude.keep(raw)
    await sleep(rude.random.int(0, 12))
    rude.random.pick([() => raw.end(), () => raw.resetAndDestroy(), () => raw.write('GET / HTTP/1.1\r\n\r\n')])()
  },

  'TLS: plain text' ({ server, keep }) {
    keep(connectRaw(server.port)).resume().write('GET /now HTTP/1.1\r\nHost: a\r\nid: rude\r\n\r\n')
  },

  async 'TLS: a broken record' (rude) {
    const { raw } = await open(rude)
    await sleep(rude.random.int(0, 60))
    if (raw.writable) raw.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 40]), garbage(rude.random, rude.random.pick([10, 40, 60]))]))
  },

  async 'TLS: FIN without close_notify' (rude) {
    const { raw } = await open(rude)
    await sleep(rude.random.int(0, 60))
    raw.end()
  },

  async 'TLS: close_notify, then talks on below' (rude) {
    const { socket, raw } = await open(rude)
    socket.end()
    await sleep(rude.random.int(0, 60))
    if (raw.writable) raw.write(garbage(rude.random, 100))
  },

  async 'TLS: renegotiation' (rude) {
    const { socket } = await open(rude, { maxVersion: 'TLSv1.2' })
    for (let i = 0; i < 6 && !rude.over && !socket.destroyed; i++) {
      try { (socket as TLSSocket).renegotiate({}, () => {}) } catch { return }
      await sleep(rude.random.int(0, 20))
    }
  }
}
