import type { FastifyInstance } from 'fastify'
import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'

const body = '{"sent":"later"}'
const headers = { expect: '100-continue', 'content-type': 'application/json', 'content-length': String(body.length) }

function echo (app: FastifyInstance): void {
  app.post('/', async ({ body }) => body)
}

export default {
  number: 5,
  situation: '`Expect: 100-continue` pending',
  expected: '100 then finish, or a final status; never hangs',
  tests: {
    'a client that was told to continue before the drain began may send its body after the grace': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 50 }, echo)
      const [client, idle] = await Promise.all([server.client(t, to), server.wire(t, to)])
      const upload = client.ask('/', { method: 'POST', body: null, headers })
      await client.wire.until(() => upload.statuses.length > 0, '100 Continue')
      t.same(upload.statuses, [100])
      const closing = app.drain.begin('test')
      t.equal(await leave(idle), null)
      upload.finish(body)
      t.match(await upload.answer(), { status: 200, body })
      t.equal(await leave(client.wire), null, 'no RST')
      t.ok(client.isTold)
      t.match(await closing, { requests: { served: 1 }, connections: { total: 2, cut: 0, destroyed: 0 } })
    },

    'an expectation that comes within idleGrace is met': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 1000 }, echo)
      const client = await server.client(t, to)
      const closing = app.drain.begin('test')
      const upload = client.ask('/', { method: 'POST', body: null, headers })
      await client.wire.until(() => upload.statuses.length > 0, '100 Continue')
      upload.finish(body)
      t.match(await upload.answer(), { status: 200, body })
      t.same(upload.statuses, [100, 200])
      t.equal(await leave(client.wire), null, 'no RST')
      t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
    },

    'an expectation that is refused during the drain has a final status, and nothing hangs': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 1000 }, echo)
      app.server.on('checkContinue', (_request, answer) => { answer.writeHead(403).end('no') })
      const client = await server.client(t, to)
      const closing = app.drain.begin('test')
      const upload = client.ask('/', { method: 'POST', body: null, headers })
      t.match(await upload.answer(), { status: 403, body: 'no' })
      t.same(upload.statuses, [403])
      if (server.isHttp2) upload.finish()
      t.equal(await leave(client.wire), null, 'no RST')
      t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
    },

    'an expectation that is never followed up is cut at the deadline': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 0, hardStopAfter: 400 }, echo)
      const client = await server.client(t, to)
      const upload = client.ask('/', { method: 'POST', body: null, headers })
      await client.wire.until(() => upload.statuses.length > 0, '100 Continue')
      const { connections, stragglers } = await app.drain.begin('test')
      t.match(connections, { total: 1, cut: 1 })
      t.match(stragglers, [{ state: 'active', outcome: 'cut' }])
      t.not(upload.end, 'served')
    }
  }
} satisfies Row
