import websocket, { type WebsocketPluginOptions } from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import drain from '../index.ts'
import { greeter, webSocketApp, type Served } from './helpers/websocket-app.ts'
import { client, type To } from './helpers/websocket.ts'

const goingAway = { code: 1001, reason: 'service restart' }
const clean = { ...goingAway, wasClean: true }
const settings = { signals: false, hardStopAfter: 10_000, peerCloseTimeout: 8000 } as const

async function listen (t: Test, app: FastifyInstance): Promise<To> {
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { host: '127.0.0.1', port: (app.server.address() as AddressInfo).port }
}

type Register = (app: FastifyInstance, options: WebsocketPluginOptions, served: Served[]) => Promise<unknown>

const registerDrain = async (app: FastifyInstance): Promise<unknown> => app.register(drain, settings)

const registerWebSocket: Register = async (app, options, served) => {
  await app.register(websocket, options)
  app.get('/', { websocket: true }, greeter(served))
}

const inChild: Register = async (app, options, served) => app.register(async child => { await registerWebSocket(child, options, served) })

for (const [order, register] of [
  ['before this one', async (app, options, served) => {
    await registerWebSocket(app, options, served)
    await registerDrain(app)
  }],
  ['behind this one', async (app, options, served) => {
    await registerDrain(app)
    await registerWebSocket(app, options, served)
  }],
  ['in a part of the app, before this one', async (app, options, served) => {
    await inChild(app, options, served)
    await registerDrain(app)
  }],
  ['in a part of the app, behind this one', async (app, options, served) => {
    await registerDrain(app)
    await inChild(app, options, served)
  }]
] as Array<[string, Register]>) {
  for (const way of ['app.close()', 'app.drain.begin()'] as const) {
    t.test(`@fastify/websocket, registered ${order}, closes nothing itself at ${way}`, async t => {
      const app = Fastify()
      const served: Served[] = []
      await register(app, {}, served)
      const { until, closed } = await client(t, await listen(t, app))
      await until('hello')
      await (way === 'app.close()' ? app.close() : app.drain.begin())
      t.same(await closed, clean)
      t.same(await served[0]?.closed, goingAway)
      t.match(app.drain.report?.connections, { total: 1, cut: 0, 'timed-out': 0 })
    })
  }

  t.test(`a preClose of one's own for @fastify/websocket, registered ${order}, runs once, when all are closed`, async t => {
    const app = Fastify()
    const served: Served[] = []
    const clients: number[] = []
    await register(app, {
      preClose (this: FastifyInstance, done: () => void) {
        clients.push(this.websocketServer.clients.size)
        done()
      }
    } as WebsocketPluginOptions, served)
    const { until, closed } = await client(t, await listen(t, app))
    await until('hello')
    await app.close()
    t.same(await closed, clean)
    t.same(clients, [0])
  })
}

t.test('@fastify/websocket, registered in two parts of the app: the WebSockets of both are told', async t => {
  const app = Fastify()
  await registerDrain(app)
  const served: Served[] = []
  for (const path of ['/one', '/other']) {
    app.register(async child => {
      await child.register(websocket)
      child.get(path, { websocket: true }, greeter(served))
    })
  }
  const to = await listen(t, app)
  const clients = await Promise.all(['/one', '/other'].map(path => client(t, to, { path })))
  await Promise.all(clients.map(({ until }) => until('hello')))
  await app.close()
  t.same(await Promise.all(clients.map(({ closed }) => closed)), [clean, clean])
})

t.test('row 33: http: the WebSockets of every address of localhost are told', async t => {
  const app = Fastify()
  const served: Served[] = []
  await registerDrain(app)
  await registerWebSocket(app, {}, served)
  t.teardown(() => app.close())
  await app.listen({ host: 'localhost', port: 0 })
  const clients = await Promise.all((app.addresses() as AddressInfo[]).map(({ address, port, family }) =>
    client(t, { host: family === 'IPv6' ? `[${address}]` : address, port })))
  await Promise.all(clients.map(({ until }) => until('hello')))
  const { connections } = await app.drain.begin()
  for (const { closed } of clients) t.same(await closed, clean)
  t.match(connections, { total: clients.length, cut: 0, 'timed-out': 0 })
})

t.test('two apps in one process: the WebSockets of both are told', async t => {
  const apps = [await webSocketApp(t), await webSocketApp(t)]
  const clients = await Promise.all(apps.map(({ to }) => client(t, to)))
  await Promise.all(clients.map(({ until }) => until('hello')))
  await Promise.all(apps.map(({ app }) => app.close()))
  t.same(await Promise.all(clients.map(({ closed }) => closed)), [clean, clean])
})

t.test('a drain of one app leaves the WebSockets of another alone', async t => {
  const [one, other] = [await webSocketApp(t), await webSocketApp(t)]
  const [told, left] = [await client(t, one.to), await client(t, other.to)]
  await one.app.close()
  t.same(await told.closed, clean)
  left.socket.send('still there?')
  await left.until('got still there?')
})

t.test('a WebSocket without a connection, of injectWS(), keeps nobody waiting', async t => {
  const { app, served } = await webSocketApp(t)
  const socket = await app.injectWS('/')
  socket.on('error', () => {})
  await app.close()
  t.equal(served.length, 1)
  for (const end of [socket, served[0]?.socket]) end?.terminate()
})
