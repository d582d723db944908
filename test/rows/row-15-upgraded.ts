import type { FastifyInstance } from 'fastify'
import type { Duplex } from 'node:stream'
import { deferred } from '../helpers/app.ts'
import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'

export const upgradeHeaders = { connection: 'upgrade', upgrade: 'words' }

const switching = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: words\r\n\r\n'

/** Takes every upgrade to a protocol of words. */
export function words (onSocket: (app: FastifyInstance, socket: Duplex) => void): (app: FastifyInstance) => void {
  return app => {
    app.server.on('upgrade', (_request, socket: Duplex) => {
      socket.write(switching)
      socket.resume()
      onSocket(app, socket)
    })
  }
}

export default {
  number: 15,
  situation: 'upgraded socket, idle or busy',
  expected: 'told (a WebSocket by 1001), then its deadline; never forgotten',
  notOn: { h2c: 'HTTP/2 has no upgrade', h2: 'HTTP/2 has no upgrade' },
  tests: {
    'the owner of an upgraded socket is told, and may still say what it has to say': async (t, server) => {
      const { app, to } = await server.start(t, {}, words((app, socket) => {
        app.drain.onUpgradeClose(socket, () => { socket.end('goodbye') })
      }))
      const { wire, ask } = await server.client(t, to)
      ask('/', { headers: upgradeHeaders })
      await wire.until(() => wire.received.includes('101'), 'the upgrade')
      t.equal(app.drain.connections.upgraded, 1)
      const closing = app.drain.begin('test')
      t.equal(await leave(wire), null, 'no RST')
      t.match(wire.received, /goodbye$/)
      t.match(await closing, { connections: { total: 1, cut: 0 }, stragglers: [] })
    },

    'an upgraded socket that nobody speaks for lives until the deadline, and is named then': async (t, server) => {
      const sockets = deferred<Duplex>()
      const { app, to } = await server.start(t, { hardStopAfter: 500 }, words((_app, socket) => sockets.resolve(socket)))
      const { wire, ask } = await server.client(t, to)
      ask('/', { headers: upgradeHeaders })
      const socket = await sockets.promise
      const closing = app.drain.begin('test')
      await new Promise(resolve => setTimeout(resolve, 200))
      // Busy, long after the grace: what it sends still arrives.
      socket.write('still here')
      await wire.until(() => wire.received.endsWith('still here'), 'what the owner said')
      t.match(await closing, {
        connections: { total: 1, cut: 1 },
        stragglers: [{ state: 'upgraded', outcome: 'cut' }]
      })
    }
  }
} satisfies Row
