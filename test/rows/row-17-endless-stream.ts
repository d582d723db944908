import { handWrittenEvents } from '../helpers/hand-written-events.ts'
import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'

export default {
  number: 17,
  situation: 'SSE or endless stream',
  expected: 'ends on drain.signal, else at the deadline',
  tests: {
    'an event stream that listens to drain.signal ends at once, whole, and then the drain does': async (t, server) => {
      const { app, to } = await server.start(t, {}, app => handWrittenEvents(app, { obeys: true }))
      const client = await server.client(t, to)
      const stream = client.ask('/events')
      await client.wire.until(() => stream.body.includes('more'), 'an event')
      const closing = app.drain.begin('test')
      t.match((await stream.answer()).body, /data: last\n\n$/)
      t.equal(await leave(client.wire), null, 'no RST')
      const report = await closing
      t.match(report, { requests: { served: 1 }, connections: { total: 1, cut: 0, 'timed-out': 0 } })
      t.ok(report.duration < 5000, 'long before the deadline')
    },

    'a stream that does not listen is cut at the deadline, and named; its client sees that it is not whole': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 50, hardStopAfter: 500 }, app => handWrittenEvents(app, { obeys: false }))
      const client = await server.client(t, to)
      const stream = client.ask('/events?token=secret')
      await client.wire.until(() => stream.body.includes('more'), 'an event')
      const report = await app.drain.begin('test')
      await client.wire.raw.fin()
      t.not(stream.end, 'served')
      t.match(report.connections, { total: 1, cut: 1 })
      t.ok(report.phases.find(({ phase }) => phase === 'aborting')!.at >= 490)
      t.match(report.stragglers, [{ method: 'GET', route: '/events', state: 'active', outcome: 'cut' }])
    }
  }
} satisfies Row
