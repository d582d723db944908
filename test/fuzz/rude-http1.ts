import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { garbage } from '../helpers/fuzz-random.ts'
import type { Rude, RudeDeed } from './rude.ts'
import { connectWire, type Wire } from './rude-wire.ts'

const get = 'GET /now HTTP/1.1\r\nHost: a\r\nid: rude\r\n\r\n'

function open ({ server, keep }: Rude): Wire {
  const wire = connectWire(server, 'http/1.1')
  keep(wire.raw)
  wire.socket.resume()
  return wire
}

export const rudeHttp1: Record<string, RudeDeed> = {
  garbage (rude) {
    open(rude).socket.write(garbage(rude.random, rude.random.int(1, 2000)))
  },

  async 'garbage after a request' (rude) {
    const { socket } = open(rude)
    socket.write(get)
    await sleep(rude.random.int(0, 60))
    socket.write(garbage(rude.random, 200))
  },

  async 'garbage after the end' (rude) {
    const { socket, raw } = open(rude)
    socket.write(get)
    await Promise.race([once(socket, 'end'), once(socket, 'close'), sleep(400)]).catch(() => {})
    for (let i = 0; i < 20 && !rude.over && !socket.destroyed; i++) {
      if (socket.writable) socket.write(garbage(rude.random, 100))
      await sleep(5)
    }
    if (rude.random.int(0, 1) === 1) raw.resetAndDestroy()
  },

  async 'a head without an end' (rude) {
    const { socket } = open(rude)
    socket.write('GET /now HTTP/1.1\r\nHost: a\r\n')
    for (let i = 0; i < 40 && !rude.over && socket.writable; i++) {
      socket.write(`x-${i}: ${'y'.repeat(rude.random.int(1, 900))}\r\n`)
      await sleep(5)
    }
  },

  async 'many resets' (rude) {
    for (let i = 0; i < 15 && !rude.over; i++) {
      const { socket, raw } = open(rude)
      socket.write(get.slice(0, rude.random.int(0, get.length)))
      await sleep(rude.random.int(0, 8))
      raw.resetAndDestroy()
    }
  },

  'a bad chunk' (rude) {
    open(rude).socket.write('POST /echo HTTP/1.1\r\nHost: a\r\nid: rude\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n')
  },

  'two lengths' (rude) {
    open(rude).socket.write('POST /echo HTTP/1.1\r\nHost: a\r\nid: rude\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')
  },

  async 'pipelined without reading' (rude) {
    const { socket } = open(rude)
    socket.pause()
    for (let i = 0; i < 30 && !rude.over && socket.writable; i++) {
      socket.write(get.repeat(20))
      await sleep(rude.random.int(0, 5))
    }
  }
}
