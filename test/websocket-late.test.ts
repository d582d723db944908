import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { WebSocketServer } from 'ws'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { greeter, webSocketApp, type Served } from './helpers/websocket-app.ts'
import { client, handshake, rawWebSocket, servers, type RawWebSocket } from './helpers/websocket.ts'

const goingAway = { code: 1001, reason: 'service restart' }

/** The client answers the close frame, and sees the end. */
async function endsInPeace (t: Test, raw: RawWebSocket): Promise<void> {
  await raw.until(({ closes }) => closes.length > 0)
  raw.close(1001)
  await raw.until(({ sawFin }) => sawFin)
  raw.halfClose()
  t.equal(await raw.ended(), null)
  t.equal(raw.frames[0]?.payload.toString(), 'hello', 'it was served')
  t.same(raw.closes, [goingAway])
}

for (const { name, server, secure } of servers) {
  for (const [when, begin] of [
    ['right before', (app: FastifyInstance, raw: RawWebSocket) => {
      const draining = app.drain.begin('test')
      raw.write(handshake('/'))
      return draining
    }],
    ['in the middle of', (app: FastifyInstance, raw: RawWebSocket) => {
      raw.write(handshake('/'))
      return once(app.server, 'upgrade').then(() => app.drain.begin('test'))
    }],
    ['right after', (app: FastifyInstance, raw: RawWebSocket) => {
      raw.write(handshake('/'))
      return raw.until(({ head }) => head !== '').then(() => app.drain.begin('test'))
    }]
  ] as const) {
    t.test(`row 16, ${name}: a drain that begins ${when} a handshake`, async t => {
      const { app, to, served } = await webSocketApp(t, { server })
      const raw = await rawWebSocket(t, to, { secure })
      await eventually(() => app.drain.connections.new === 1, 'the connection is known')
      const draining = begin(app, raw)
      await endsInPeace(t, raw)
      t.match(await served[0]?.closed, { code: 1001 })
      t.match((await draining).connections, { total: 1, cut: 0, 'timed-out': 0, destroyed: 0 })
    })
  }
}

t.test('in the lame duck WebSockets are opened and served, and told when it is over', async t => {
  const { app, to } = await webSocketApp(t, { shutdownDelay: 1500 })
  const draining = app.drain.begin('test')
  const { socket, until, closed } = await client(t, to)
  socket.send('question')
  await until('got question')
  t.equal(app.drain.phase, 'lame-duck')
  t.same(await closed, { ...goingAway, wasClean: true })
  t.match((await draining).connections, { total: 1, cut: 0 })
})

t.test('a keep-alive connection that becomes a WebSocket within its idleGrace is served, then told', async t => {
  const { app, to } = await webSocketApp(t, { idleGrace: 4000, prepare: app => app.get('/plain', async () => 'plain') })
  const raw = await rawClient(t, to)
  raw.write(request('/plain'))
  await raw.until(/plain$/)
  const draining = app.drain.begin('test')
  await eventually(() => app.drain.phase === 'draining' && !app.server.listening, 'the listener is closed')
  raw.write(handshake('/'))
  const closeFrame = Buffer.from([0x88, 2 + goingAway.reason.length, 0x03, 0xe9]).toString('latin1') + goingAway.reason
  await raw.until(received => received.endsWith(`hello${closeFrame}`))
  raw.halfClose()
  t.equal(await raw.closed(), null)
  t.match((await draining).connections, { total: 1, cut: 0, 'timed-out': 0 })
})

t.test('a handshake that a hook holds up for longer than idleGrace is served, then told', async t => {
  const held = deferred()
  const arrived = deferred()
  const { app, to } = await webSocketApp(t, {
    prepare: app => app.addHook('onRequest', async () => {
      arrived.resolve()
      await held.promise
    })
  })
  const [raw, idle] = [await rawWebSocket(t, to), await rawClient(t, to)]
  raw.write(handshake('/'))
  await arrived.promise
  const draining = app.drain.begin('test')
  await idle.fin()
  idle.halfClose()
  t.match(app.drain.connections, { upgraded: 1 })
  held.resolve()
  await endsInPeace(t, raw)
  t.match((await draining).connections, { total: 2, cut: 0, 'timed-out': 0 })
})

t.test('ws without a plugin for Fastify: WebSockets are told, with a handshake that is slow to be verified too', async t => {
  const served: Served[] = []
  const verifying = deferred<() => void>()
  const { app, to } = await webSocketApp(t, {
    prepare: app => {
      const other = new WebSocketServer({
        noServer: true,
        verifyClient ({ req }: { req: IncomingMessage }, done: (ok: boolean) => void) {
          if (req.url === '/other/slow') verifying.resolve(() => done(true))
          else done(true)
        }
      }).on('connection', greeter(served))
      // In place of the one of @fastify/websocket.
      app.server.removeAllListeners('upgrade').on('upgrade', (request, socket, head) => {
        other.handleUpgrade(request, socket, head, webSocket => other.emit('connection', webSocket))
      })
    }
  })
  const { until, closed } = await client(t, to, { path: '/other' })
  await until('hello')
  const slow = await rawWebSocket(t, to)
  slow.write(handshake('/other/slow'))
  const verified = await verifying.promise
  const draining = app.drain.begin('test')
  t.same(await closed, { ...goingAway, wasClean: true })
  verified()
  await endsInPeace(t, slow)
  t.same((await Promise.all(served.map(({ closed }) => closed))).map(({ code }) => code), [1001, 1001])
  t.match((await draining).connections, { total: 2, cut: 0, 'timed-out': 0 })
})

for (const when of ['in normal operation', 'during a drain']) {
  t.test(`${when} a handshake that a hook refuses gets its whole answer`, async t => {
    const { app, to, served } = await webSocketApp(t, {
      idleGrace: 4000,
      prepare: app => app.addHook('onRequest', async (_request, reply) => reply.code(401).send({ error: 'who are you?' }))
    })
    const raw = await rawClient(t, to)
    await eventually(() => app.drain.connections.new === 1, 'the connection is known')
    const draining = when === 'during a drain' ? app.drain.begin('test') : null
    raw.write(handshake('/'))
    await raw.fin()
    raw.halfClose()
    t.equal(await raw.closed(), null)
    t.match(answers(raw.received), [{ status: 401, body: '{"error":"who are you?"}' }])
    t.same(served, [])
    if (draining !== null) t.match((await draining).connections, { total: 1, cut: 0, 'timed-out': 0 })
    t.equal(app.drain.connections.upgraded, 0)
  })
}

t.test('a route with a handler and a wsHandler behind hooks: the WebSocket is told, the request is answered', async t => {
  const seen: string[] = []
  const served: Served[] = []
  const held = deferred()
  const { app, to } = await webSocketApp(t, {
    prepare: app => app.route({
      method: 'GET',
      url: '/both',
      preValidation: async request => { seen.push(request.ws ? 'ws' : 'http') },
      handler: async () => {
        await held.promise
        return 'plain'
      },
      wsHandler: greeter(served)
    })
  })
  const { until, closed } = await client(t, to, { path: '/both' })
  await until('hello')
  const plain = await rawClient(t, to)
  plain.write(request('/both'))
  await eventually(() => seen.length === 2, 'both are there')
  const draining = app.drain.begin('test')
  t.same(await closed, { ...goingAway, wasClean: true })
  held.resolve()
  await plain.until(/plain$/)
  plain.halfClose()
  t.same(seen, ['ws', 'http'])
  t.match(await draining, { connections: { total: 2, cut: 0 }, requests: { served: 1 } })
})

t.test('row 16: http: a WebSocketServer that was attached when the app listened already is told of the drain like any other', async t => {
  const served: Served[] = []
  const { app, listen } = await testApp(t, { idleGrace: 4000, peerCloseTimeout: 8000 })
  app.get('/plain', async () => 'plain')
  const to = await listen()
  new WebSocketServer({ server: app.server }).on('connection', greeter(served))
  const { until, closed } = await client(t, to)
  await until('hello')
  const raw = await rawWebSocket(t, to)
  await eventually(() => app.drain.connections.new === 1, 'the connection is known')
  const draining = app.drain.begin('test')
  t.same(await closed, { ...goingAway, wasClean: true })
  raw.write(handshake('/'))
  await endsInPeace(t, raw)
  t.match((await draining).connections, { total: 2, cut: 0, 'timed-out': 0 })
})
