import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Row } from '../helpers/rows.ts'
import type { Server } from '../helpers/servers.ts'
import { leave, takes } from '../helpers/wire.ts'

const size = 2_000_000
const headers = { 'content-type': 'application/json', 'content-length': String(size) }

function limited (app: FastifyInstance): void {
  app.post('/', { bodyLimit: 1024 }, async () => 'never')
}

// The request during which it is sent begins the drain.
function limitedDuringDrain (app: FastifyInstance): void {
  app.addHook('onRequest', async () => { app.drain.begin('test') })
  limited(app)
}

export default {
  number: 3,
  situation: 'unread request body at close (early 413, 401 on a large upload)',
  expected: 'the client reads the whole answer',
  tests: {
    'a client that goes on sending after an early 413 reads the whole of it, and is not reset': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 0 }, limitedDuringDrain)
      const client = await server.client(t, to)
      const upload = client.ask('/', { method: 'POST', body: null, headers })
      t.match(await upload.answer(), { status: 413, body: /FST_ERR_CTP_BODY_TOO_LARGE/ })
      upload.finish('x'.repeat(size))
      t.equal(await leave(client.wire), null, 'no RST')
      t.ok(client.isTold)
      t.match(await app.drain.begin(), { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
    },

    'a client that reads nothing before it has sent everything finds the whole early 413': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 0 }, limitedDuringDrain)
      const client = await server.client(t, to)
      const upload = client.ask('/', { method: 'POST', body: null, headers })
      // Of HTTP/2 it is as much as the first window allows.
      upload.write('x'.repeat(server.isHttp2 ? 60_000 : size))
      t.match(await upload.answer(), { status: 413, body: /FST_ERR_CTP_BODY_TOO_LARGE/ })
      t.ok(await takes(client.wire, client.trifle), 'no RST')
      if (server.isHttp2) upload.finish('x'.repeat(size - 60_000))
      t.equal(await leave(client.wire), null)
      t.match(await app.drain.begin(), { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
    }
  },
  only: {
    h2c: { 'in steady state an early 413 ends its stream, and the session goes on': nextRequest },
    h2: { 'in steady state an early 413 ends its stream, and the session goes on': nextRequest }
  }
} satisfies Row

async function nextRequest (t: Test, server: Server): Promise<void> {
  const { to } = await server.start(t, {}, app => {
    limited(app)
    app.get('/', async () => 'hello')
  })
  const client = await server.client(t, to)
  const upload = client.ask('/', { method: 'POST', body: null, headers })
  t.match(await upload.answer(), { status: 413 })
  upload.finish('x'.repeat(size))
  t.match(await client.ask('/').answer(), { status: 200, body: 'hello' })
  t.notOk(client.isTold)
}
