import { deferred, eventually } from '../helpers/app.ts'
import type { Row, Tests } from '../helpers/rows.ts'
import { asHttp2 } from '../helpers/servers.ts'
import { leave } from '../helpers/wire.ts'

const tests: Tests = {
  'a client that closes its connection on the first GOAWAY leaves nothing behind': async (t, server) => {
    const { app, to } = await server.start(t)
    const client = asHttp2(await server.client(t, to))
    await client.ask('/').answer()
    const closing = app.drain.begin('test')
    await client.wire.until(() => client.goaways.length > 0, 'a GOAWAY')
    client.wire.end()
    t.equal(await client.wire.raw.closed(), null, 'no RST')
    const { connections, duration } = await closing
    t.match(connections, { total: 1, cut: 0, 'timed-out': 0 })
    t.ok(duration < 5000)
  },

  'a client that resets its connection on the first GOAWAY leaves nothing behind': async (t, server) => {
    const { app, to } = await server.start(t, {}, app => app.get('/', () => new Promise(() => {})))
    const client = asHttp2(await server.client(t, to))
    client.ask('/')
    await eventually(() => app.drain.connections.streams === 1, 'the stream is open')
    // Over TLS there is no GOAWAY before idleGrace is over.
    const closing = app.drain.begin('test')
    await client.wire.until(() => client.goaways.length > 0, 'a GOAWAY')
    client.wire.raw.reset()
    const { connections, duration } = await closing
    t.match(connections, { total: 1, cut: 0 })
    t.ok(duration < 8000, 'not only the deadline ends it')
  },

  'a client that sends GOAWAY itself has its open stream answered': async (t, server) => {
    const late = deferred<string>()
    const { app, to } = await server.start(t, {}, app => app.get('/', () => late.promise))
    const client = asHttp2(await server.client(t, to))
    const open = client.ask('/')
    await eventually(() => app.drain.connections.streams === 1, 'the stream is open')
    client.goaway()
    // A GOAWAY is answered by nothing: this one has been read when the PING behind it is answered.
    const pong = client.ping()
    await client.wire.until(pong, 'the answer to our PING')
    const closing = app.drain.begin('test')
    late.resolve('whole')
    t.match(await open.answer(), { status: 200, body: 'whole' })
    t.equal(await leave(client.wire), null, 'no RST')
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0 } })
  },

  'a client that sends GOAWAY during the drain has its open stream answered': async (t, server) => {
    const late = deferred<string>()
    const { app, to } = await server.start(t, {}, app => app.get('/', () => late.promise))
    const client = asHttp2(await server.client(t, to))
    const open = client.ask('/')
    await eventually(() => app.drain.connections.streams === 1, 'the stream is open')
    const closing = app.drain.begin('test')
    client.goaway()
    await client.wire.until(client.ping(), 'the answer to our PING')
    late.resolve('whole')
    t.match(await open.answer(), { status: 200, body: 'whole' })
    t.equal(await leave(client.wire), null, 'no RST')
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0 } })
  },

  'a client that answers nothing at all is bounded': async (t, server) => {
    // With so small a budget the 5 s of the PING are not waited for.
    const { app, to } = await server.start(t, { lingerTimeout: 150, hardStopAfter: 2000 })
    const client = asHttp2(await server.client(t, to, { ignoresPing: true }))
    await client.ask('/').answer()
    const { connections } = await app.drain.begin('test')
    t.match(connections, { total: 1, 'timed-out': 1, cut: 0 })
    t.equal(client.goaways.at(-1)?.lastStream, 1)
    t.equal(client.pings > 0, server.name === 'h2c', 'there is a PING where there is a notice')
  }
}

export default {
  number: 27,
  situation: 'HTTP/2 client ignores PING, or closes on the first GOAWAY',
  expected: '5 s timer; no hang',
  notOn: { http: 'HTTP/1.x has no GOAWAY', https: 'HTTP/1.x has no GOAWAY', allowHTTP1: 'HTTP/1.x has no GOAWAY' },
  tests
} satisfies Row
