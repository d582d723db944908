import type { FastifyInstance } from 'fastify'
import { Readable } from 'node:stream'
import t from 'tap'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { rawClient, request, type RawClient } from './helpers/raw-client.ts'

const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

interface Way {
  name: string
  route (app: FastifyInstance, goOn: Promise<void>): void
  bytes?: string
  /** What the client does once its request is there and the handler may go on. */
  client (client: RawClient): Promise<void>
}

const ways: Way[] = [
  {
    name: 'a handler that throws',
    route: (app, goOn) => app.get('/', async () => { await goOn; throw new Error('on purpose') }),
    client: async client => { await client.until(/on purpose/); client.halfClose() }
  },
  {
    name: 'an error handler that throws',
    route (app, goOn) {
      app.setErrorHandler(() => { throw new Error('another one') })
      app.get('/', async () => { await goOn; throw new Error('on purpose') })
    },
    client: async client => { await client.until(/another one/); client.halfClose() }
  },
  {
    name: 'a hijacked reply that answers by hand',
    route: (app, goOn) => app.get('/', async (_request, reply) => { reply.hijack(); await goOn; reply.raw.end('by hand') }),
    client: async client => { await client.until(/by hand/); client.halfClose() }
  },
  {
    name: 'a hijacked reply that destroys the socket',
    route: (app, goOn) => app.get('/', async (_request, reply) => { reply.hijack(); await goOn; reply.raw.socket?.destroy() }),
    client: async client => { await client.fin(); client.halfClose() }
  },
  {
    name: 'a hijacked reply that nobody answers, and a client that leaves',
    route: app => app.get('/', (_request, reply) => { reply.hijack() }),
    client: async client => client.reset()
  },
  {
    name: 'a handler that never answers, and a client that leaves',
    route: app => app.get('/', () => new Promise(() => {})),
    client: async client => client.reset()
  },
  {
    name: 'an upload that its client resets',
    route: app => app.post('/', async request => request.body),
    bytes: 'POST / HTTP/1.1\r\nhost: test\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nhalf of it',
    client: async client => client.reset()
  },
  {
    name: 'an upload that its client closes half way',
    route: app => app.post('/', async request => request.body),
    bytes: 'POST / HTTP/1.1\r\nhost: test\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel',
    client: async client => client.halfClose()
  },
  {
    name: 'a head that its client resets half way',
    route: () => {},
    bytes: 'GET / HTT',
    client: async client => client.reset()
  },
  {
    name: 'an answer that its client resets half way',
    route: (app, goOn) => app.get('/', async (_request, reply) => {
      await goOn
      return reply.send(Readable.from(Array.from({ length: 32 }, () => Buffer.alloc(1024 * 1024, 'x'))))
    }),
    client: async client => { await client.until(text => text.length > 100_000); client.reset() }
  },
  {
    name: 'a stream that fails half way through its answer',
    route: (app, goOn) => app.get('/', async (_request, reply) => {
      await goOn
      return reply.send(Readable.from((async function * () { yield 'a beginning'; throw new Error('on purpose') })()))
    }),
    client: async client => { await client.fin(); client.halfClose() }
  }
]

for (const { name, route, bytes = request('/'), client: act } of ways) {
  t.test(`row 32: http: after ${name} no connection is counted`, async t => {
    const { app, listen } = await testApp(t, { idleGrace: 50 })
    const goOn = deferred()
    route(app, goOn.promise)
    const client = await open(app, await listen())
    goOn.resolve()
    await act(client)
    await eventually(() => total(app) === 0, 'no connection is left')
    t.same(app.drain.connections, none)

    const { connections, duration } = await app.drain.begin('test')
    t.equal(connections.cut, 0)
    t.ok(duration < 5000, 'long before the deadline')
  })

  t.test(`row 32: http: after ${name} a drain that has begun ends by itself`, async t => {
    const { app, listen } = await testApp(t, { idleGrace: 50, peerCloseTimeout: 50, lingerTimeout: 200, hardStopAfter: 20_000 })
    const goOn = deferred()
    route(app, goOn.promise)
    const client = await open(app, await listen())
    const closing = app.drain.begin('test')
    goOn.resolve()
    await act(client)

    const { connections, duration } = await closing
    t.same(app.drain.connections, none)
    t.match(connections, { total: 1, cut: 0 })
    t.ok(duration < 10_000, 'long before the deadline')
  })

  async function open (app: FastifyInstance, to: { host: string, port: number }): Promise<RawClient> {
    const client = await rawClient(t, to)
    client.write(bytes)
    await eventually(() => app.drain.connections.active === 1, 'the request has come')
    return client
  }
}

function total (app: FastifyInstance): number {
  return Object.values(app.drain.connections).reduce((sum, count) => sum + count, 0)
}
