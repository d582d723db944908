import type { FastifyInstance } from 'fastify'
import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'

function bodiless (app: FastifyInstance): void {
  app.get('/', async () => 'hello')
  app.get('/204', async (_request, reply) => reply.code(204).send())
  app.get('/304', async (_request, reply) => reply.code(304).header('etag', '"same"').send())
  app.get('/103', async (_request, reply) => {
    await new Promise<void>(resolve => {
      reply.raw.writeEarlyHints({ link: '</style.css>; rel=preload' }, resolve)
      // The one of HTTP/2 takes no callback.
      setImmediate(resolve)
    })
    return 'hinted'
  })
}

export default {
  number: 23,
  situation: 'HEAD, 204, 304, 1xx',
  expected: 'close header, no body; never on 1xx',
  tests: {
    'answers without a body are the last ones as others are, and nothing follows them but FIN': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 1500 }, bodiless)
      const asked = [['HEAD', '/', 200], ['GET', '/204', 204], ['GET', '/304', 304]] as const
      const clients = await Promise.all(asked.map(() => server.client(t, to)))
      const closing = app.drain.begin('test')
      await Promise.all(clients.map(async (client, i) => {
        const [method, path, status] = asked[i] as typeof asked[number]
        t.match(await client.ask(path, { method }).answer(), { status, body: '' })
        t.equal(await leave(client.wire), null, 'no RST')
        t.ok(client.isTold, `${method} ${path}`)
        if (!server.isHttp2) t.match(client.wire.received, /\r\n\r\n$/, 'nothing behind the head')
      }))
      t.match(await closing, { requests: { served: 3 }, connections: { total: 3, cut: 0, destroyed: 0 } })
    },

    'an interim answer is no last answer': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 1500 }, bodiless)
      const client = await server.client(t, to)
      const closing = app.drain.begin('test')
      const hinted = client.ask('/103')
      t.match(await hinted.answer(), { status: 200, body: 'hinted' })
      t.same(hinted.statuses, [103, 200])
      if (!server.isHttp2) t.notMatch(client.wire.received.split('\r\n\r\n')[0], /connection:/i)
      t.equal(await leave(client.wire), null, 'no RST')
      t.ok(client.isTold)
      t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0 } })
    }
  }
} satisfies Row
