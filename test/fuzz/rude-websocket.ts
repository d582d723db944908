import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { garbage } from '../helpers/fuzz-random.ts'
import type { Rude, RudeDeed } from './rude.ts'
import { connectWire } from './rude-wire.ts'

const upgrade = 'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

async function open ({ server, keep }: Rude, early: Buffer = Buffer.alloc(0)): Promise<{ socket: Socket, raw: Socket }> {
  const wire = connectWire(server, 'http/1.1')
  keep(wire.raw)
  wire.socket.write(Buffer.concat([Buffer.from(upgrade), early]))
  await Promise.race([once(wire.socket, 'data'), once(wire.socket, 'close'), sleep(300)]).catch(() => {})
  wire.socket.resume()
  return wire
}

/** A frame of a client, RFC 6455 section 5.2, with a mask of zeros. */
function frame (head: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([head, 0x80 | payload.length, 0, 0, 0, 0]), payload])
}

export const rudeWebSocket: Record<string, RudeDeed> = {
  async 'WebSocket: no answer to the close' (rude) {
    await open(rude)
  },

  async 'WebSocket: garbage' (rude) {
    const { socket } = await open(rude)
    socket.write(garbage(rude.random, rude.random.int(1, 300)))
  },

  async 'WebSocket: garbage right behind the upgrade' (rude) {
    await open(rude, garbage(rude.random, 50))
  },

  async 'WebSocket: a frame without a mask' (rude) {
    const { socket } = await open(rude)
    socket.write(Buffer.from([0x81, 2, 0x68, 0x69]))
  },

  async 'WebSocket: reserved bits, an impossible length' (rude) {
    const { socket } = await open(rude)
    socket.write(rude.random.pick([frame(0xf1, Buffer.from('hi')), Buffer.from([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])]))
  },

  async 'WebSocket: half a frame, then gone' (rude) {
    const { socket, raw } = await open(rude)
    socket.write(frame(0x81, Buffer.alloc(100)).subarray(0, 20))
    await sleep(rude.random.int(0, 100))
    rude.random.pick([() => raw.resetAndDestroy(), () => raw.end(), () => socket.end()])()
  },

  async 'WebSocket: talks on after the close' (rude) {
    const { socket } = await open(rude)
    socket.write(frame(0x88, Buffer.from([3, 0xe8])))
    for (let i = 0; i < 20 && !rude.over && socket.writable; i++) {
      socket.write(frame(0x81, Buffer.from('still here')))
      await sleep(5)
    }
  },

  async 'WebSocket: a flood of PINGs, nothing read' (rude) {
    const { socket } = await open(rude)
    socket.pause()
    for (let i = 0; i < 20 && !rude.over && socket.writable; i++) {
      socket.write(Buffer.concat(Array.from({ length: 200 }, () => frame(0x89, Buffer.alloc(100)))))
      await sleep(5)
    }
  }
}
