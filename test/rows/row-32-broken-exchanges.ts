import type { FastifyInstance } from 'fastify'
import { Readable } from 'node:stream'
import { deferred, eventually } from '../helpers/app.ts'
import type { Row, Tests } from '../helpers/rows.ts'
import { asHttp2, type Client, type Exchange } from '../helpers/servers.ts'

const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

interface Way {
  route (app: FastifyInstance, goOn: Promise<void>): void
  /** The request that the client has sent when the handler may go on. */
  ask? (client: Client): Exchange
  /** What the client does then. */
  act (client: Client, exchange: Exchange): Promise<unknown>
}

const askForRoot = (client: Client): Exchange => client.ask('/')

const upload = (client: Client): Exchange => {
  const exchange = client.ask('/', { method: 'POST', body: null, headers: { 'content-type': 'text/plain' } })
  exchange.write('half of it')
  return exchange
}

const reset = async ({ wire }: Client): Promise<void> => wire.raw.reset()

const ways: Record<string, Way> = {
  'a handler that throws': {
    route: (app, goOn) => app.get('/', async () => { await goOn; throw new Error('on purpose') }),
    act: (client, exchange) => exchange.answer().then(() => client.wire.end())
  },
  'a hijacked reply that answers by hand': {
    route: (app, goOn) => app.get('/', async (_request, reply) => { reply.hijack(); await goOn; reply.raw.end('by hand') }),
    act: (client, exchange) => exchange.answer().then(() => client.wire.end())
  },
  'a hijacked reply that nobody answers, and a client that resets': {
    route: app => app.get('/', (_request, reply) => { reply.hijack() }),
    act: reset
  },
  'a handler that never answers, and a client that leaves': {
    route: app => app.get('/', () => new Promise(() => {})),
    act: reset
  },
  'an upload that its client resets': {
    route: app => app.post('/', async request => request.body),
    ask: upload,
    act: reset
  },
  'an upload that its client closes half way': {
    route: app => app.post('/', async request => request.body),
    ask: upload,
    act: async client => client.wire.end()
  },
  'an answer that its client resets half way': {
    route: (app, goOn) => app.get('/', async (_request, reply) => {
      await goOn
      return reply.send(Readable.from(Array.from({ length: 8 }, () => Buffer.alloc(1024 * 1024, 'x'))))
    }),
    act: async (client, exchange) => {
      await client.wire.until(() => exchange.body.length > 100_000, 'some of it')
      client.wire.raw.reset()
    }
  },
  'a stream that fails half way through its answer': {
    route: (app, goOn) => app.get('/', async (_request, reply) => {
      await goOn
      return reply.send(Readable.from((async function * () { yield 'a beginning'; throw new Error('on purpose') })()))
    }),
    act: async (client, exchange) => {
      await client.wire.until(() => exchange.end !== 'open' || client.wire.sawEnd, 'the end').catch(() => {})
      client.wire.end()
    }
  }
}

const cancelled: Way = {
  route: app => app.get('/', () => new Promise(() => {})),
  act: async (client, exchange) => {
    asHttp2(client).reset(exchange)
    await client.wire.until(asHttp2(client).ping(), 'the server has read it')
    client.wire.end()
  }
}

function testsOf (ways: Record<string, Way>): Tests {
  const tests: Tests = {}
  for (const [name, { route, ask = askForRoot, act }] of Object.entries(ways)) {
    for (const isDraining of [false, true]) {
      tests[`after ${name}, ${isDraining ? 'during a drain that ends by itself then' : 'no connection is counted'}`] = async (t, server) => {
        const goOn = deferred()
        const { app, to } = await server.start(t, { idleGrace: 50, lingerTimeout: 200 }, app => route(app, goOn.promise))
        const client = await server.client(t, to)
        const exchange = ask(client)
        await eventually(() => app.drain.connections.active === 1, 'the request has come')
        const drain = isDraining ? app.drain.begin('test') : null
        goOn.resolve()
        await act(client, exchange)
        if (!isDraining) await eventually(() => Object.values(app.drain.connections).every(count => count === 0), 'no connection is left')
        const { connections, duration } = await (drain ?? app.drain.begin('test'))
        t.same(app.drain.connections, none)
        t.equal(connections.cut, 0)
        t.ok(duration < 8000, 'long before the deadline')
      }
    }
  }
  return tests
}

const streams = testsOf({ 'a stream that its client cancels': cancelled })

export default {
  number: 32,
  situation: 'handler throws, reply.hijack(), aborted request, client RST mid-answer',
  expected: 'counts return to zero; quiescence is reached',
  tests: testsOf(ways),
  only: { h2c: streams, h2: streams }
} satisfies Row
