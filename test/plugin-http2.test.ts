import t from 'tap'
import { once } from 'node:events'
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import tls from 'node:tls'
import type { FastifyDrainOptions } from '../index.ts'
import { accepted, deferred, eventually, testApp } from './helpers/app.ts'
import { rawClient } from './helpers/raw-client.ts'
import { tlsOptions } from './helpers/tls.ts'

interface Teardown { teardown (fn: () => unknown): void }

const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

for (const [name, server] of [
  ['h2c', { http2: true }],
  ['h2', { http2: true, https: tlsOptions }]
] as const) {
  const setUp = async (t: Teardown, options: FastifyDrainOptions = {}) => {
    const { app, listen } = await testApp(t, { idleGrace: 100, ...options }, server as object)
    app.get('/', async () => 'hello')
    const open = deferred<(body: string) => void>()
    app.get('/open', (_request, reply) => { open.resolve(body => { reply.send(body) }) })
    const to = await listen()
    const connect = async (): Promise<ClientHttp2Session> => {
      const session = http2.connect(`${name === 'h2c' ? 'http' : 'https'}://127.0.0.1:${to.port}`, { rejectUnauthorized: false })
      session.on('error', () => {})
      t.teardown(() => session.destroy())
      await once(session, 'remoteSettings')
      return session
    }
    return { app, to, open: open.promise, connect }
  }

  t.test(`${name}: an open stream finishes, its session is closed, and the drain ends`, async t => {
    const { app, open, connect } = await setUp(t)
    const session = await connect()
    const closed = once(session, 'close')
    const answer = answerOf(session.request({ ':path': '/open' }))
    const finish = await open
    t.strictSame(app.drain.connections, { ...none, active: 1, streams: 1 })
    const draining = app.drain.begin('test')
    await once(session, 'goaway')
    finish('whole')
    t.same(await answer, { status: 200, body: 'whole' })
    await closed
    const report = await draining
    t.match(report.connections, { total: 1, cut: 0, 'timed-out': 0 })
    t.equal(report.requests.served, 1)
    t.same(report.stragglers, [])
  })

  t.test(`${name}: an idle session is closed after the grace`, async t => {
    const { app, connect } = await setUp(t)
    const session = await connect()
    t.same(await answerOf(session.request({ ':path': '/' })), { status: 200, body: 'hello' })
    await eventually(() => app.drain.connections.idle === 1, 'it was idle')
    const closed = once(session, 'close')
    const draining = app.drain.begin('test')
    await closed
    t.match((await draining).connections, { total: 1, cut: 0 })
  })

  t.test(`${name}: a stream that is open at the deadline is cut`, async t => {
    const { app, open, connect } = await setUp(t, { hardStopAfter: 300 })
    const session = await connect()
    const stream = session.request({ ':path': '/open' })
    stream.on('error', () => {})
    await open
    const report = await app.drain.begin('test')
    t.match(report.connections, { total: 1, cut: 1 })
    t.match(report.stragglers, [{ remoteAddress: '127.0.0.1', state: 'active', outcome: 'cut' }])
    await eventually(() => session.destroyed, 'the client saw it')
  })

  t.test(`row 32: ${name}: a client that vanishes in the middle of a stream is not counted any more`, async t => {
    const { app, open, connect } = await setUp(t)
    const session = await connect()
    session.request({ ':path': '/open' }).on('error', () => {})
    await open
    session.destroy()
    await eventually(() => app.drain.connections.active === 0, 'it was counted out')
    await eventually(() => Object.values(app.drain.connections).every(count => count === 0), 'it was closed')
  })

  t.test(`${name}: a client that answers nothing is closed after the linger times`, async t => {
    const { app, to } = await setUp(t, { lingerTimeout: 200 })
    const connected = accepted(app)
    const client = name === 'h2c' ? (await rawClient(t, to)).socket : tls.connect({ ...to, rejectUnauthorized: false, ALPNProtocols: ['h2'] })
    t.teardown(() => client.destroy())
    if (name !== 'h2c') await once(client, 'secureConnect')
    await connected
    // The preface of a client, an empty SETTINGS frame, and then silence.
    client.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1')
    await eventually(() => app.drain.connections.idle + app.drain.connections.new === 1, 'it was accepted')
    const report = await app.drain.begin('test')
    t.match(report.connections, { total: 1, cut: 0 })
  })
}

t.test('row 26: h2: a session is told with its next stream, in the lame duck too, and that is served', async t => {
  const { app, listen } = await testApp(t, { shutdownDelay: 800, idleGrace: 0 }, { http2: true, https: tlsOptions } as object)
  app.get('/', async () => 'hello')
  const { port } = await listen()
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  t.teardown(() => session.destroy())
  t.same(await answerOf(session.request({ ':path': '/' })), { status: 200, body: 'hello' })
  const draining = app.drain.begin('test')
  const goaway = once(session, 'goaway')
  t.same(await answerOf(session.request({ ':path': '/' })), { status: 200, body: 'hello' })
  await goaway
  t.equal(app.drain.phase, 'lame-duck')
  t.match(await draining, { connections: { total: 1, cut: 0 }, requests: { served: 1 } })
})

t.test('row 13: h2c: a session that has brought no request yet is told nothing before the end of its grace', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 300 }, { http2: true } as object)
  app.get('/', async () => 'hello')
  const { port } = await listen()
  const [fresh, used] = [http2.connect(`http://127.0.0.1:${port}`), http2.connect(`http://127.0.0.1:${port}`)]
  t.teardown(() => { fresh.destroy(); used.destroy() })
  await once(fresh, 'remoteSettings')
  await answerOf(used.request({ ':path': '/' }))
  let told = false
  fresh.once('goaway', () => { told = true })
  const draining = app.drain.begin('test')
  await once(used, 'goaway')
  t.notOk(told)
  t.same(await answerOf(fresh.request({ ':path': '/' })), { status: 200, body: 'hello' })
  await eventually(() => told, 'it was told with its answer')
  t.match((await draining).connections, { total: 2, cut: 0 })
})

t.test('h2: a client that does not speak HTTP/2 is answered by Node, counted, and does not hold the drain', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0, lingerTimeout: 200 }, { http2: true, https: tlsOptions } as object)
  const to = await listen()
  const client = tls.connect({ ...to, rejectUnauthorized: false, allowHalfOpen: true } as tls.ConnectionOptions)
  t.teardown(() => client.destroy())
  client.on('error', () => {})
  let received = ''
  client.setEncoding('latin1').on('data', text => { received += text })
  await once(client, 'end')
  t.match(received, /403 Forbidden/)
  const { new: fresh, idle } = app.drain.connections
  t.equal(fresh + idle, 1)
  t.match(await app.drain.begin('test'), { connections: { total: 1, cut: 0 } })
})

async function answerOf (stream: ClientHttp2Stream): Promise<{ status: number, body: string }> {
  let body = ''
  stream.setEncoding('utf8').on('data', part => { body += part })
  const responded = once(stream, 'response')
  const ended = once(stream, 'end')
  const [headers] = await responded
  await ended
  return { status: headers[':status'], body }
}
