import type { FastifyInstance } from 'fastify'
import type { Duplex } from 'node:stream'
import { deferred } from '../helpers/app.ts'
import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'

const connect = 'CONNECT example.org:1 HTTP/1.1\r\nhost: example.org:1\r\n\r\n'

const tunnel2 = 'a tunnel of HTTP/2 is a stream: see 6, 17, 22'

/** A tunnel to somebody who says everything again. */
function tunnel (onSocket: (app: FastifyInstance, socket: Duplex) => void): (app: FastifyInstance) => void {
  return app => {
    app.server.on('connect', (_request, socket: Duplex) => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onSocket(app, socket)
    })
  }
}

export default {
  number: 25,
  situation: 'CONNECT tunnel',
  expected: 'outstanding bytes forwarded, then FIN',
  notOn: { h2c: tunnel2, h2: tunnel2 },
  tests: {
    'bytes that are under way in both directions when the owner ends the tunnel arrive, then comes FIN': async (t, server) => {
      let heard = ''
      const size = 2 * 1024 * 1024
      const { app, to } = await server.start(t, { idleGrace: 0 }, tunnel((app, socket) => {
        socket.on('data', chunk => { heard += chunk })
        app.drain.onUpgradeClose(socket, () => {
          socket.write('x'.repeat(size))
          socket.end('over')
        })
      }))
      const wire = await server.wire(t, to)
      wire.write(connect)
      await wire.until(() => wire.received.includes('established'), 'the tunnel')
      const before = wire.received.length
      const closing = app.drain.begin('test')
      wire.write('sent before we knew')
      await wire.raw.fin()
      t.equal(wire.received.length - before, size + 4)
      t.match(wire.received.slice(-10), /over$/)
      wire.write(', and after')
      t.equal(await leave(wire), null, 'no RST')
      t.match(await closing, { connections: { total: 1, cut: 0 } })
      t.equal(heard, 'sent before we knew, and after')
    },

    'a tunnel whose owner says nothing goes on until the deadline': async (t, server) => {
      const sockets = deferred<Duplex>()
      const { app, to } = await server.start(t, { hardStopAfter: 500 }, tunnel((_app, socket) => {
        socket.on('data', chunk => socket.write(chunk))
        sockets.resolve(socket)
      }))
      const wire = await server.wire(t, to)
      wire.write(connect)
      await sockets.promise
      const closing = app.drain.begin('test')
      await new Promise(resolve => setTimeout(resolve, 200))
      wire.write('echo')
      await wire.until(() => wire.received.endsWith('echo'), 'the echo')
      t.match(await closing, { connections: { total: 1, cut: 1 }, stragglers: [{ state: 'upgraded', outcome: 'cut' }] })
    }
  }
} satisfies Row
