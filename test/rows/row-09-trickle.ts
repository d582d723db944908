import type { Row } from '../helpers/rows.ts'

export default {
  number: 9,
  situation: 'client trickles bytes for ever while lingering',
  expected: 'closed at lingerTime',
  tests: {
    'a client that trickles bytes while we linger is closed at lingerTime, and nothing is answered': async (t, server) => {
      let executed = 0
      const { app, to } = await server.start(t, { lingerTimeout: 500, lingerTime: 1000 }, app => {
        app.get('/', async () => `hello ${++executed}`)
      })
      const client = await server.client(t, to)
      await client.ask('/').answer()
      const closing = app.drain.begin('test')
      await client.wire.raw.fin()
      const late = client.ask('/')
      const trickle = setInterval(() => client.wire.write(client.trifle), 20)
      t.teardown(() => clearInterval(trickle))
      const report = await closing
      t.ok(report.duration >= 990, 'the trickle keeps it from being silent')
      t.match(report, {
        connections: { total: 1, 'timed-out': 1, cut: 0 },
        stragglers: [{ state: 'lingering', outcome: 'timed-out' }]
      })
      t.equal(executed, 1)
      t.not(late.end, 'served')
    }
  }
} satisfies Row
