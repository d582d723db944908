import type { Test } from 'tap'
import { outcomes } from '../helpers/drain-slow.ts'
import type { Row } from '../helpers/rows.ts'
import { asHttp2, type Server } from '../helpers/servers.ts'
import { leave, takes } from '../helpers/wire.ts'

const notBefore = 'an idle connection gets our FIN when idleGrace is over, and not before'

export default {
  number: 1,
  situation: 'request crosses our FIN on an idle connection',
  expected: 'within idleGrace served, and told to close; after FIN no RST, and the handler is not run',
  tests: {
    'a request that comes on an idle connection within idleGrace is served, and is told that it was the last': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 2000 })
      const client = await server.client(t, to)
      await client.ask('/').answer()
      t.notOk(client.isTold)

      const closing = app.drain.begin('test')
      t.match(await client.ask('/').answer(), { status: 200, body: 'hello' })
      t.equal(await leave(client.wire), null, 'no RST')
      t.ok(client.isTold)
      t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, 'timed-out': 0 }, stragglers: [] })
    },

    'a request that crosses our FIN provokes no RST, and is not executed': async (t, server) => {
      let executed = 0
      const { app, to } = await server.start(t, {}, app => app.get('/', async () => `hello ${++executed}`))
      const client = await server.client(t, to)
      await client.ask('/').answer()

      const closing = app.drain.begin('test')
      await client.wire.raw.fin()
      const late = client.ask('/')
      t.ok(await takes(client.wire, client.prepare('/').bytes), 'no RST')
      t.equal(app.drain.connections.lingering, 1)
      client.wire.end()
      t.equal(await client.wire.raw.closed(), null)
      t.equal(executed, 1)
      t.not(late.end, 'served')
      const report = await closing
      t.equal(report.requests.served, 0)
      t.same(outcomes(report), { 'half-closed': 1 })
    }
  },
  only: {
    http: { [notBefore]: finAfterGrace },
    allowHTTP1: { [notBefore]: finAfterGrace },
    https: { [notBefore]: finAfterGrace },
    h2: { [notBefore]: finAfterGrace },
    h2c: {
      'an idle session is told twice, and then gets our FIN without waiting for idleGrace': async (t, server) => {
        const { app, to } = await server.start(t, { idleGrace: 5000 })
        const client = asHttp2(await server.client(t, to))
        await client.ask('/').answer()
        const closing = app.drain.begin('test')
        t.equal(await leave(client.wire), null, 'no RST')
        t.same(client.goaways, [{ lastStream: 2 ** 31 - 1, code: 0 }, { lastStream: 1, code: 0 }])
        const { connections, duration } = await closing
        t.match(connections, { total: 1, cut: 0, 'timed-out': 0 })
        t.ok(duration < 5000)
      }
    }
  }
} satisfies Row

async function finAfterGrace (t: Test, server: Server): Promise<void> {
  const { app, to } = await server.start(t, { idleGrace: 400 })
  const client = await server.client(t, to)
  await client.ask('/').answer()
  const began = performance.now()
  const closing = app.drain.begin('test')
  await client.wire.raw.fin()
  t.ok(performance.now() - began > 390)
  t.equal(await leave(client.wire), null)
  t.match(await closing, { connections: { total: 1, cut: 0, 'timed-out': 0 } })
}
