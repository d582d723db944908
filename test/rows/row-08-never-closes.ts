import type { Row } from '../helpers/rows.ts'

const times = { lingerTimeout: 150, lingerTime: 5000 }

export default {
  number: 8,
  situation: 'client never closes after our FIN',
  expected: 'closed at lingerTimeout',
  tests: {
    'an idle client that never closes after our FIN is closed at lingerTimeout, and named': async (t, server) => {
      const { app, to } = await server.start(t, times)
      const client = await server.client(t, to)
      await client.ask('/').answer()
      const closing = app.drain.begin('test')
      await client.wire.raw.fin()
      const report = await closing
      t.ok(report.duration >= 145, 'not before lingerTimeout')
      t.match(report, {
        connections: { total: 1, 'timed-out': 1, cut: 0 },
        stragglers: [{ remoteAddress: '127.0.0.1', state: 'lingering', outcome: 'timed-out' }]
      })
    },

    'a client that has read its last answer and never closes is closed at lingerTimeout': async (t, server) => {
      const { app, to } = await server.start(t, { ...times, idleGrace: 1000 })
      const client = await server.client(t, to)
      const closing = app.drain.begin('test')
      await client.ask('/').answer()
      await client.wire.raw.fin()
      t.ok(client.isTold)
      t.match(await closing, { requests: { served: 1 }, connections: { total: 1, 'timed-out': 1, cut: 0 } })
    }
  }
} satisfies Row
