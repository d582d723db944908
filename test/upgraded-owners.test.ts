import t from 'tap'
import { once } from 'node:events'
import http2, { type ClientHttp2Session, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { webSocketApp } from './helpers/websocket-app.ts'
import { client as webSocketClient } from './helpers/websocket.ts'

const polite = { cut: 0, 'timed-out': 0, destroyed: 0, 'peer-lost': 0 }

for (const [how, ends] of [['ends it', true], ['does not end it', false]] as const) {
  t.test(`row 32: http: a socket taken over after reply.hijack() is told by its closer, which ${how}`, async t => {
    const { app, listen } = await testApp(t, { idleGrace: 100, hardStopAfter: ends ? 10_000 : 500 })
    const taken = deferred()
    let calls = 0
    app.get('/raw', (request, reply) => {
      reply.hijack()
      const { socket } = request.raw
      socket.write('HTTP/1.1 200 OK\r\n\r\nwords of its own ')
      app.drain.onUpgradeClose(socket, () => {
        calls++
        if (ends) socket.end('bye')
      })
      taken.resolve()
    })
    const client = await rawClient(t, await listen())
    client.write(request('/raw'))
    await taken.promise
    const draining = app.drain.begin('test')
    if (ends) {
      await client.until(/bye$/)
      await client.fin()
      client.halfClose()
      t.equal(await client.closed(), null)
      t.match(client.received, /words of its own bye$/)
    }
    const report = await draining
    t.equal(calls, 1)
    t.match(report.connections, { total: 1, cut: ends ? 0 : 1 })
    if (!ends) t.match(report.stragglers, [{ route: '/raw', outcome: 'cut' }])
  })
}

t.test('a closer for the socket of a WebSocket takes the place of the close frame', async t => {
  const { app, to, served } = await webSocketApp(t, {
    prepare: app => app.addHook('preValidation', async request => {
      app.drain.onUpgradeClose(request.raw.socket, () => {
        for (const { socket } of served) {
          socket.send('in my own words')
          socket.close(4321, 'bye')
        }
      })
    })
  })
  const { messages, until, closed } = await webSocketClient(t, to)
  await until('hello')
  const report = await app.drain.begin('test')
  t.same(await closed, { code: 4321, reason: 'bye', wasClean: true })
  t.same(messages, ['hello', 'in my own words'])
  t.match(report.connections, { total: 1, ...polite })
})

t.test('a closer for a WebSocket that was opened during the drain takes the place of the close frame, too', async t => {
  const held = deferred()
  const arrived = deferred()
  const finish = deferred()
  const { app, to, served } = await webSocketApp(t, {
    prepare: app => app.addHook('preValidation', async request => {
      arrived.resolve()
      await held.promise
      app.drain.onUpgradeClose(request.raw.socket, async () => {
        await finish.promise
        for (const { socket } of served) socket.close(4321, 'bye')
      })
    })
  })
  const opening = webSocketClient(t, to)
  await arrived.promise
  const draining = app.drain.begin('test')
  await eventually(() => app.drain.phase === 'draining', 'the phase draining')
  held.resolve()
  const { socket, until, closed } = await opening
  socket.send('question')
  await until('got question')
  finish.resolve()
  t.same(await closed, { code: 4321, reason: 'bye', wasClean: true })
  t.match((await draining).connections, { total: 1, ...polite })
})

t.test('an answer that was written by hand after reply.hijack(), with a closer, ends its connection in peace', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 100 })
  app.get('/raw', (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/plain' })
    reply.raw.write('one ')
    app.drain.onUpgradeClose(request.raw.socket, () => { reply.raw.end('two') })
  })
  const client = await rawClient(t, await listen())
  client.write(request('/raw'))
  await client.until(/one /)
  const draining = app.drain.begin('test')
  await client.fin()
  t.match(client.received, /two\r\n0\r\n\r\n$/)
  client.halfClose()
  t.equal(await client.closed(), null)
  t.match(await draining, { connections: { total: 1, ...polite }, requests: { served: 1 } })
})

t.test('a tunnel through a stream of HTTP/2 goes on until its closer ends it', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 100 }, { http2: true } as object)
  let calls = 0
  app.server.on('connect', (_request: Http2ServerRequest, answer: Http2ServerResponse) => {
    const { stream } = answer
    answer.writeHead(200)
    stream.on('data', bytes => stream.write(`got ${bytes}`))
    stream.on('end', () => stream.end())
    app.drain.onUpgradeClose(stream, () => {
      calls++
      stream.end('bye')
    })
  })
  const { port } = await listen()
  const session: ClientHttp2Session = http2.connect(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const tunnel = session.request({ ':method': 'CONNECT', ':authority': 'example.org:1' }, { endStream: false })
  let received = ''
  tunnel.setEncoding('utf8').on('data', text => { received += text })
  await once(tunnel, 'response')
  t.match(app.drain.connections, { active: 1, streams: 1 })
  tunnel.write('one')
  await eventually(() => received === 'got one', 'the tunnel works')
  const draining = app.drain.begin('test')
  await once(tunnel, 'end')
  t.equal(received, 'got onebye')
  tunnel.end()
  t.equal(calls, 1)
  t.match((await draining).connections, { total: 1, ...polite })
})

t.test('row 16: http: a socket that is taken over during the drain is told at once', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 4000 })
  app.get('/raw', (request, reply) => {
    reply.hijack()
    const { socket } = request.raw
    socket.write('HTTP/1.1 200 OK\r\n\r\nwords of its own ')
    app.drain.onUpgradeClose(socket, () => socket.end('bye'))
  })
  const client = await rawClient(t, await listen())
  await eventually(() => app.drain.connections.new === 1, 'the connection is known')
  const draining = app.drain.begin('test')
  await eventually(() => app.drain.phase === 'draining' && !app.server.listening, 'the listener is closed')
  client.write(request('/raw'))
  await client.until(/words of its own bye$/)
  await client.fin()
  client.halfClose()
  t.equal(await client.closed(), null)
  t.match((await draining).connections, { total: 1, ...polite })
})
