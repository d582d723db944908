import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'
import { upgradeHeaders, words } from './row-15-upgraded.ts'

export default {
  number: 16,
  situation: 'drain begins right after an upgrade',
  expected: 'no crash',
  notOn: { h2c: 'HTTP/2 has no upgrade', h2: 'HTTP/2 has no upgrade' },
  tests: {
    'a drain that begins in the handler of an upgrade tells its owner': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 0 }, words((app, socket) => {
        app.drain.begin('test')
        app.drain.onUpgradeClose(socket, () => { socket.end('goodbye') })
      }))
      const { wire, ask } = await server.client(t, to)
      ask('/', { headers: upgradeHeaders })
      t.equal(await leave(wire), null, 'no RST')
      t.match(wire.received, /goodbye$/)
      t.match(await app.drain.begin(), { connections: { total: 1, cut: 0 } })
    },

    'an upgrade that crosses the beginning of a drain is answered, and its owner is told': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 1000 }, words((app, socket) => {
        app.drain.onUpgradeClose(socket, () => { socket.end('goodbye') })
      }))
      const { wire, ask } = await server.client(t, to)
      const closing = app.drain.begin('test')
      ask('/', { headers: upgradeHeaders })
      t.equal(await leave(wire), null, 'no RST')
      t.match(wire.received, /^HTTP\/1\.1 101 .*goodbye$/s)
      t.match(await closing, { connections: { total: 1, cut: 0 } })
    }
  }
} satisfies Row
