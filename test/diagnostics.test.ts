import t from 'tap'
import Fastify from 'fastify'
import { channel } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import drain from '../index.ts'
import { channelNames } from '../lib/diagnostics.ts'
import { accepted, deferred, eventually, testApp } from './helpers/app.ts'
import { hear } from './helpers/diagnostics.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { servers } from './helpers/servers.ts'
import { tunnelApp, tunnelClient, connectRequest } from './helpers/tunnel.ts'
import { leave } from './helpers/wire.ts'

for (const server of Object.values(servers)) {
  t.test(`${server.name}: a connection is told of from its open to its close, each state once`, async t => {
    const heard = hear(t)
    const { app, to } = await server.start(t)
    const client = await server.client(t, to)
    const { localPort } = client.wire.raw.socket
    await client.ask('/?secret=1').answer()
    await eventually(() => heard.lives[0]?.at(-1) === 'idle', 'it is idle again')
    await client.ask('/').answer()
    await eventually(() => heard.lives[0]?.length === 5, 'it is idle once more')
    client.wire.end()
    await heard.hears('close')
    t.same(heard.lives, [['open', 'active', 'idle', 'active', 'idle', 'peer-closed']])

    const all = heard.messages.map(({ message }) => message)
    t.ok(all.every(({ drain }) => drain === app.drain))
    t.ok(all.every(({ remoteAddress, remotePort }) => remoteAddress === '127.0.0.1' && remotePort === localPort))
    const [, active, idle, , , close] = all
    t.match(active, { previous: 'new', method: 'GET', route: '/' })
    t.match(idle, { previous: 'active', method: null, route: null })
    t.match(close, { state: 'idle', error: null, method: null, route: null, age: Number })
    t.notMatch(JSON.stringify(all), 'secret')
  })

  t.test(`${server.name}: in a drain an open exchange ends, then its connection lingers, and is closed`, async t => {
    const heard = hear(t)
    const go = deferred()
    const { app, to } = await server.start(t, { idleGrace: 100 }, app => app.get('/slow', async () => { await go.promise; return 'done' }))
    const client = await server.client(t, to)
    const slow = client.ask('/slow')
    await heard.hears('state', { state: 'active' })
    const draining = app.drain.begin('test')
    await heard.hears('phase', { phase: 'draining' })
    go.resolve()
    t.match(await slow.answer(), { body: 'done' })
    await leave(client.wire)
    const report = await draining
    const [life] = heard.lives
    t.same(life?.slice(0, 2), ['open', 'active'])
    t.equal(report.connections[life?.at(-1) as 'cut'], 1, `${life}`)
    t.ok(life?.slice(2, -1).every((state, i, all) => ['idle', 'lingering'].includes(state) && state !== all[i - 1]), `${life}`)

    const phases = heard.messages.filter(({ channel }) => channel === 'phase').map(({ message }) => message)
    t.match(phases, [
      { phase: 'lame-duck', reason: 'test', connections: { active: 1 } }, { phase: 'draining', connections: { active: 1 } }, { phase: 'closed', connections: { active: 0 } }
    ])
    t.equal(heard.messages.at(-1)?.channel, 'report')
    t.same(heard.messages.at(-1)?.message, { drain: app.drain, report: app.drain.report })
  })

  t.test(`${server.name}: a subscriber that comes in the middle of a drain hears of what follows`, async t => {
    const go = deferred()
    const { app, to } = await server.start(t, { idleGrace: 100 }, app => app.get('/slow', async () => { await go.promise; return 'done' }))
    const client = await server.client(t, to)
    const { localPort } = client.wire.raw.socket
    const slow = client.ask('/slow')
    await eventually(() => app.drain.connections.active === 1, 'a request is open')
    const draining = app.drain.begin('test')
    await eventually(() => app.drain.phase === 'draining', 'the phase draining')
    const heard = hear(t)
    go.resolve()
    await slow.answer()
    await leave(client.wire)
    const { connections } = await draining
    const [life] = heard.lives
    t.equal(heard.lives.length, 1)
    t.equal(connections[life?.at(-1) as 'cut'], 1, `${life}`)
    t.equal(new Set(life).size, life?.length)
    t.notMatch(life, ['open'])
    const close = await heard.hears('close')
    t.equal(close.remotePort, localPort, 'its address was remembered')
  })

  t.test(`${server.name}: connections that are cut are told of before the report`, async t => {
    const { app, to } = await server.start(t, { hardStopAfter: 400 }, app => app.get('/slow', () => new Promise(() => {})))
    const heard = hear(t)
    const client = await server.client(t, to)
    client.ask('/slow?secret=1')
    await heard.hears('state', { state: 'active' })
    const { connections } = await app.drain.begin('test')
    t.equal(connections.cut, 1)
    t.same(heard.lives.map(life => [life[0], life.at(-1)]), [['open', 'cut']])
    t.equal(heard.messages.filter(({ channel }) => channel === 'close').length, 1, 'once')
    t.match(heard.messages.find(({ channel }) => channel === 'close')?.message, { state: 'active', method: 'GET', route: '/slow', remoteAddress: '127.0.0.1' })
    t.same(heard.messages.slice(-3).map(({ channel }) => channel), ['close', 'phase', 'report'])
    t.same(heard.messages.filter(({ channel }) => channel === 'phase').map(({ message }) => message.phase), ['lame-duck', 'draining', 'aborting', 'closed'])
  })
}

t.test('row 25, http: a connection that speaks another protocol is upgraded until it closes', async t => {
  const heard = hear(t)
  const { app, to } = await tunnelApp(t, {})
  const client = await tunnelClient(t, to, false)
  client.write(connectRequest)
  await client.until(/hello $/)
  client.halfClose()
  await client.end()
  await heard.hears('close')
  const lives = heard.lives.filter(life => life.includes('upgraded'))
  t.same(lives.map(life => life.slice(0, -1)), [['open', 'upgraded']])
  t.equal(app.drain.connections.upgraded, 0)
})

t.test('an early answer leaves the connection active until the rest of the request has come', async t => {
  const heard = hear(t)
  const { app, listen } = await testApp(t, {}, { bodyLimit: 1_000_000 })
  app.addHook('onRequest', async (_request, reply) => reply.code(401).send('no'))
  app.post('/', async () => 'yes')
  const client = await rawClient(t, await listen())
  client.write('POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n01234')
  await client.until(/401/)
  await sleep(20)
  t.same(heard.lives, [['open', 'active']])
  client.write('56789')
  await eventually(() => heard.lives[0]?.length === 3, 'another state')
  t.same(heard.lives, [['open', 'active', 'idle']])
})

t.test('a subscriber that comes when connections are there is told of new states of theirs as soon as another connection comes', async t => {
  const { app, listen } = await testApp(t)
  app.get('/', async () => 'hello')
  const to = await listen()
  const early = await rawClient(t, to)
  early.write(request('/'))
  await early.until(/hello/)
  const heard = hear(t)
  const late = accepted(app)
  await rawClient(t, to)
  await late
  early.write(request('/'))
  await eventually(() => heard.lives.length === 2 && heard.lives[1]?.length === 2, 'the states of the early one')
  t.same(heard.lives, [['open'], ['active', 'idle']])
  t.equal(heard.messages.find(({ message }) => message.state === 'active')?.message.previous, null)
})

t.test('who has unsubscribed hears no more, and whoever remains does', async t => {
  const first = hear(t)
  const second = hear(t, 'close')
  const { app, listen } = await testApp(t)
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  const { localPort } = client.socket
  await first.hears('open')
  first.stop()
  client.write(request('/'))
  await client.until(/hello/)
  client.halfClose()
  await second.hears('close')
  t.same(first.lives, [['open']])
  t.same(second.lives, [['peer-closed']])
  t.match(second.messages[0]?.message, { remoteAddress: '127.0.0.1', remotePort: localPort, outcome: 'peer-closed' })
})

t.test('who only wants to hear of closes knows whose they are', async t => {
  const heard = hear(t, 'close')
  const { app, listen } = await testApp(t)
  const to = await listen()
  const accept = accepted(app)
  const client = await rawClient(t, to)
  const { localPort } = client.socket
  await accept
  // No request: whoever logs one has asked for the address.
  client.halfClose()
  t.match(await heard.hears('close'), { remoteAddress: '127.0.0.1', remotePort: localPort, error: null, state: 'new' })
})

t.test('a reset is told with its error, and the server that closes first lingers', async t => {
  const heard = hear(t)
  const { app, listen } = await testApp(t)
  app.get('/', async () => 'hello')
  const to = await listen()
  const rude = await rawClient(t, to)
  rude.write(request('/'))
  await rude.until(/hello/)
  rude.reset()
  t.match(await heard.hears('close'), { outcome: 'peer-closed', error: 'ECONNRESET' })
  const polite = await rawClient(t, to)
  polite.write(request('/', { headers: { connection: 'close' } }))
  await polite.fin()
  polite.halfClose()
  t.match(await heard.hears('close', { outcome: 'half-closed' }), { error: null })
  t.same(heard.lives[1], ['open', 'active', 'lingering', 'half-closed'])
})

t.test('several apps in one process are told apart by their drain', async t => {
  const heard = hear(t, 'phase')
  const [one, other] = [await testApp(t), await testApp(t)]
  await one.app.drain.begin('one')
  await other.app.drain.begin('other')
  const of = (drain: unknown) => heard.messages.filter(({ message }) => message.drain === drain).map(({ message }) => message.reason)
  t.same(new Set(of(one.app.drain)), new Set(['one']))
  t.same(new Set(of(other.app.drain)), new Set(['other']))
})

t.test('a subscriber that throws is an uncaught error, and the drain goes on', async t => {
  const errors: unknown[] = []
  const caught = (error: unknown): void => { errors.push(error) }
  const before = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', caught)
  const thrower = (): void => { throw new Error('a bad subscriber') }
  t.teardown(() => {
    process.off('uncaughtException', caught)
    for (const listener of before) process.on('uncaughtException', listener)
  })
  const { app } = await testApp(t)
  const heard = hear(t)
  channel(channelNames.phase).subscribe(thrower)
  t.teardown(() => channel(channelNames.phase).unsubscribe(thrower))
  await app.drain.begin('test')
  t.equal(app.drain.phase, 'closed')
  t.same(heard.messages.map(({ channel }) => channel), ['phase', 'phase', 'phase', 'report'])
  t.equal(errors.length, 3)
})

t.test('where nobody subscribes to states, requests are not listened to', async t => {
  const listeners = async (): Promise<number> => {
    const app = Fastify()
    await app.register(drain, { signals: false })
    t.teardown(() => app.close())
    await app.listen({ host: '127.0.0.1', port: 0 })
    return app.server.listenerCount('request')
  }
  const without = await listeners()
  const heard = hear(t, 'phase', 'open', 'close', 'report')
  t.equal(await listeners(), without)
  heard.stop()
  hear(t, 'state')
  t.equal(await listeners(), without + 1)
})
