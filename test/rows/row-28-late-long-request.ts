import { eventually } from '../helpers/app.ts'
import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'

export default {
  number: 28,
  situation: 'a long request arrives late on an idle connection',
  expected: 'not cut unless longer than what is left of the budget',
  tests: {
    'a long request that arrives late on an idle connection is answered': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 1000 }, app => {
        app.get('/', async () => 'hello')
        app.get('/long', async () => {
          await new Promise(resolve => setTimeout(resolve, 900))
          return 'at last'
        })
      })
      const client = await server.client(t, to)
      await client.ask('/').answer()
      const closing = app.drain.begin('test')
      // HTTP/2 without TLS was told by then.
      if (server.name !== 'h2c') await new Promise(resolve => setTimeout(resolve, 150))
      t.match(await client.ask('/long').answer(), { status: 200, body: 'at last' })
      t.equal(await leave(client.wire), null, 'no RST')
      t.ok(client.isTold)
      const report = await closing
      t.match(report, { requests: { served: 1 }, connections: { total: 1, cut: 0 } })
      t.ok(report.duration > 850)
    },

    'a request that takes longer than what is left of the budget is cut at the deadline, and named': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 300, hardStopAfter: 700 }, app => {
        app.get('/', async () => 'hello')
        app.get('/endless', () => new Promise(() => {}))
      })
      const client = await server.client(t, to)
      await client.ask('/').answer()
      const closing = app.drain.begin('test')
      const endless = client.ask('/endless')
      await eventually(() => app.drain.connections.active === 1, 'it has come')
      const report = await closing
      t.not(endless.end, 'served')
      t.match(report.connections, { total: 1, cut: 1 })
      t.ok(report.phases.find(({ phase }) => phase === 'aborting')!.at >= 690)
      t.match(report.stragglers, [{ method: 'GET', route: '/endless', outcome: 'cut' }])
    }
  }
} satisfies Row
