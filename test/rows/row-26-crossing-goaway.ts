import type { Test } from 'tap'
import { deferred, eventually } from '../helpers/app.ts'
import type { Row, Tests } from '../helpers/rows.ts'
import { asHttp2, type Http2Client, type Server } from '../helpers/servers.ts'
import { leave, takes } from '../helpers/wire.ts'

const notice = { lastStream: 2 ** 31 - 1, code: 0 }

/** A client with a stream that is open until it is told to end. */
async function busyClient (t: Test, server: Server, options = {}) {
  const executed: string[] = []
  const [late, together] = [deferred<string>(), deferred<string>()]
  const { app, to } = await server.start(t, { idleGrace: 100, ...options }, app => {
    app.get('/late', () => late.promise)
    app.get('/together', () => together.promise)
    app.get('/:name', async ({ url }) => { executed.push(url); return url })
  })
  const client: Http2Client = asHttp2(await server.client(t, to))
  const open = client.ask('/late')
  await eventually(() => app.drain.connections.streams === 1, 'the stream is open')
  return { app, executed, late, together, client, open }
}

const tests: Tests = {
  'a stream that crosses the final GOAWAY is refused, never executed, and its connection is not reset': async (t, server) => {
    const { app, executed, late, client, open } = await busyClient(t, server)
    const closing = app.drain.begin('test')
    await client.wire.until(() => client.isTold, 'the final GOAWAY')
    const { lastStream } = client.goaways.at(-1) as { lastStream: number }
    t.equal(lastStream, client.streamOf(open))
    // The client knows better, and asks all the same: to the server this is what crossing looks like.
    const crossing = [client.ask('/a'), client.ask('/b')]
    t.ok(await takes(client.wire, client.trifle), 'no RST')
    late.resolve('whole')
    t.match(await open.answer(), { status: 200, body: 'whole' })
    t.equal(await leave(client.wire), null)
    for (const { end, statuses } of crossing) t.same({ end, statuses }, { end: 'refused', statuses: [] })
    t.same(executed, [])
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, 'timed-out': 0 } })
  },

  'a crossing stream with a body is refused as well, however much of it comes': async (t, server) => {
    const { app, late, client, open } = await busyClient(t, server)
    const closing = app.drain.begin('test')
    await client.wire.until(() => client.isTold, 'the final GOAWAY')
    const upload = client.ask('/a', { method: 'POST', body: null, headers: { 'content-type': 'text/plain' } })
    upload.finish('x'.repeat(50_000))
    late.resolve('whole')
    t.match(await open.answer(), { status: 200, body: 'whole' })
    t.equal(await leave(client.wire), null, 'no RST')
    t.equal(upload.end, 'refused')
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, 'timed-out': 0 } })
  },

  'a session that comes during the lame duck is served, and told': async (t, server) => {
    const { app, to } = await server.start(t, { shutdownDelay: 300, idleGrace: 300 })
    const closing = app.drain.begin('test')
    const client = asHttp2(await server.client(t, to))
    t.match(await client.ask('/').answer(), { status: 200, body: 'hello' })
    t.equal(await leave(client.wire), null, 'no RST')
    t.ok(client.isTold)
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, 'timed-out': 0 } })
  }
}

export default {
  number: 26,
  situation: 'HTTP/2 stream crosses the shutdown notice, or the final GOAWAY',
  expected: 'served, or refused and never executed, so that the client may retry',
  notOn: { http: 'HTTP/1.x has no GOAWAY', https: 'HTTP/1.x has no GOAWAY', allowHTTP1: 'HTTP/1.x has no GOAWAY' },
  tests,
  only: {
    h2c: {
      'streams that cross the shutdown notice are all served, however many': async (t, server) => {
        const { app, executed, late, client, open } = await busyClient(t, server)
        const closing = app.drain.begin('test')
        // Sent before the notice can have been read: as soon as it has, the PING behind it would be answered.
        const crossing = Array.from({ length: 50 }, (_, i) => client.ask(`/${i}`))
        await Promise.all(crossing.map(exchange => exchange.answer()))
        t.same(client.goaways[0], notice)
        late.resolve('whole')
        t.match(await open.answer(), { status: 200, body: 'whole' })
        t.equal(await leave(client.wire), null, 'no RST')
        t.equal(executed.length, 50)
        t.same(client.goaways, [notice, { lastStream: 101, code: 0 }])
        t.match(await closing, { requests: { served: 51 }, connections: { total: 1, cut: 0 } })
      },

      'the notice does not break the frames of an answer that fills every buffer, and comes when they are read': async (t, server) => {
        const size = 8 * 1024 * 1024
        const { app, to } = await server.start(t, {}, app => {
          app.get('/', async () => 'hello')
          app.get('/large', async () => Buffer.alloc(size, 'x'))
        })
        const client = asHttp2(await server.client(t, to))
        const large = client.ask('/large')
        await large.headed()
        client.wire.raw.socket.pause()
        await new Promise(resolve => setTimeout(resolve, 100))
        const closing = app.drain.begin('test')
        await eventually(() => app.drain.phase === 'draining', 'the drain goes on')
        const crossing = client.ask('/')
        client.wire.raw.socket.resume()
        t.equal((await large.answer()).body.length, size)
        t.match(await crossing.answer(), { status: 200, body: 'hello' })
        t.equal(await leave(client.wire), null, 'no RST')
        t.same(client.goaways, [notice, { lastStream: 3, code: 0 }])
        t.match(await closing, { requests: { served: 2 }, connections: { total: 1, cut: 0 } })
      }
    },
    h2: {
      'the stream with which as many are open as ever is served, and its client is told': async (t, server) => {
        const { app, late, client, open } = await busyClient(t, server, { idleGrace: 5000 })
        const closing = app.drain.begin('test')
        t.match(await client.ask('/a').answer(), { status: 200, body: '/a' })
        t.ok(client.goaways.length > 0, 'before its answer')
        late.resolve('whole')
        t.match(await open.answer(), { status: 200, body: 'whole' })
        t.equal(await leave(client.wire), null, 'no RST')
        t.same(client.goaways, [notice, { lastStream: 3, code: 0 }])
        t.match(await closing, { requests: { served: 2 }, connections: { total: 1, cut: 0 } })
      },

      'a session that is less busy than ever is served until idleGrace is over, and told when it is quiet': async (t, server) => {
        const { app, executed, late, together, client, open } = await busyClient(t, server, { idleGrace: 1000 })
        const more = [1, 2, 3].map(() => client.ask('/together'))
        await eventually(() => app.drain.connections.streams === 4, 'four streams are open')
        together.resolve('together')
        await Promise.all(more.map(exchange => exchange.answer()))
        await eventually(() => app.drain.connections.streams === 1, 'three have closed')
        const closing = app.drain.begin('test')
        for (let i = 0; i < 5; i++) t.match(await client.ask('/within').answer(), { status: 200 })
        t.notOk(client.isTold)
        late.resolve('whole')
        t.match(await open.answer(), { status: 200, body: 'whole' })
        t.equal(await leave(client.wire), null, 'no RST')
        t.same(client.goaways, [notice, { lastStream: 7 + 2 * executed.length, code: 0 }])
        t.match(await closing, { requests: { served: executed.length + 1 }, connections: { total: 1, cut: 0 } })
      }
    }
  }
} satisfies Row
