import { accepted, eventually } from '../helpers/app.ts'
import type { Row } from '../helpers/rows.ts'
import { leave, takes } from '../helpers/wire.ts'
import { http1Client } from '../helpers/http1-client.ts'
import { http2Client } from '../helpers/http2-client.ts'

export default {
  number: 13,
  situation: 'connection with no byte yet (a browser’s speculative one)',
  expected: 'FIN after the grace, not before',
  tests: {
    'a connection that has sent no byte gets our FIN when idleGrace is over, and not before': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 400 })
      const opened = accepted(app)
      const wire = await server.wire(t, to)
      await opened
      t.equal(app.drain.connections.new, 1)
      const began = performance.now()
      const closing = app.drain.begin('test')
      await wire.raw.fin()
      t.ok(performance.now() - began > 390)
      t.ok(await takes(wire, 'GET / HTTP/1.1\r\nhost: test\r\n\r\n'), 'what crosses our FIN provokes no RST')
      t.equal(await leave(wire), null)
      t.notMatch(wire.received, /HTTP/)
      t.match(await closing, { requests: { served: 0 }, connections: { total: 1, 'half-closed': 1 } })
    },

    'a connection that has sent no byte may bring its first request within idleGrace': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 1500 })
      const opened = accepted(app)
      const wire = await server.wire(t, to)
      await opened
      const closing = app.drain.begin('test')
      await eventually(() => !app.server.listening, 'the listener is closed')
      const client = server.isHttp2 ? http2Client(wire) : http1Client(wire)
      t.match(await client.ask('/').answer(), { status: 200, body: 'hello' })
      t.equal(await leave(wire), null, 'no RST')
      t.ok(client.isTold)
      t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, 'timed-out': 0 } })
    }
  }
} satisfies Row
