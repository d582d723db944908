import Fastify from 'fastify'
import t from 'tap'
import { once } from 'node:events'
import { connect } from 'node:net'
import drain from '../index.ts'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

t.test('app.close() with a request in flight answers it with 200 and Connection: close', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 50, peerCloseTimeout: 50 })
  const answer = deferred<string>()
  app.get('/', () => answer.promise)
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await eventually(() => app.drain.connections.active === 1, 'the request was read')

  const closing = app.close()
  await eventually(() => app.drain.phase === 'draining', 'the listener is closed')
  answer.resolve('hello')
  await client.fin()
  client.halfClose()
  t.equal(await client.closed(), null)
  t.match(answers(client.received), [{ status: 200, headers: { connection: 'close' }, body: 'hello' }])
  await closing
  t.equal(app.drain.report?.reason, 'app.close()')
})

t.test('a request that comes after app.close() is answered with 200, not with 503', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 500, peerCloseTimeout: 50 })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const closing = app.close()
  await eventually(() => app.drain.phase === 'draining', 'the listener is closed')
  client.write(request('/'))
  await client.fin()
  client.halfClose()
  await closing
  t.match(answers(client.received), [{ status: 200 }, { status: 200, headers: { connection: 'close' } }])
})

t.test('begin() gives every caller the same promise, and app.close() joins it', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 50, lingerTimeout: 100 })
  await rawClient(t, await listen())
  const first = app.drain.begin('first')
  const closing = app.close()
  const second = app.drain.begin('second')
  t.equal(first, second)
  const [report] = await Promise.all([first, closing])
  t.equal(report, app.drain.report)
  t.equal(report.reason, 'first')
  t.equal(app.drain.begin(), first, 'afterwards, too')
  t.equal(app.drain.phase, 'closed')
})

t.test('app.close() may be called twice, at once and afterwards', async t => {
  const { app, listen, logged } = await testApp(t, { idleGrace: 50, lingerTimeout: 100 })
  await rawClient(t, await listen())
  await Promise.all([app.close(), app.close()])
  await app.close()
  t.equal(logged.filter(line => line.startsWith('drain: closed')).length, 1, 'one drain')
})

t.test('onClose hooks run after the drain, and app.close() resolves after them', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 50, peerCloseTimeout: 50 })
  const order: string[] = []
  const answer = deferred<string>()
  app.get('/', () => answer.promise)
  app.addHook('onClose', async () => {
    order.push(`hook, connections: ${Object.values(app.drain.connections).reduce((a, b) => a + b)}`)
    await new Promise(resolve => setTimeout(resolve, 50))
    order.push('hook done')
  })
  app.addHook('onResponse', async () => { order.push('answered') })
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await eventually(() => app.drain.connections.active === 1, 'the request was read')

  const closing = app.drain.begin('test').then(() => order.push('closed'))
  await eventually(() => app.drain.phase === 'draining', 'the listener is closed')
  answer.resolve('hello')
  await client.fin()
  client.halfClose()
  await closing
  t.same(order, ['answered', 'hook, connections: 0', 'hook done', 'closed'])
})

t.test('an onClose hook that fails makes app.close() reject, as without the plugin; the drain is complete', async t => {
  const app = Fastify()
  await app.register(drain, { signals: false, idleGrace: 50 })
  app.addHook('onClose', async () => { throw new Error('on purpose') })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await t.rejects(app.close(), { message: 'on purpose' })
  t.equal(app.drain.phase, 'closed')
  t.match(app.drain.report, { reason: 'app.close()' })
  t.equal(app.server.listening, false)
})

t.test('in the lame-duck phase everything is served with Connection: close, and then the listener closes', async t => {
  const { app, listen } = await testApp(t, { shutdownDelay: 800, idleGrace: 50, peerCloseTimeout: 100 })
  app.get('/', async () => 'hello')
  const to = await listen()
  const early = await rawClient(t, to)
  early.write(request('/'))
  await early.until(/hello/)

  const closing = app.drain.begin('test')
  t.equal(app.drain.phase, 'lame-duck')
  early.write(request('/'))
  const late = await rawClient(t, to)
  late.write(request('/'))
  await Promise.all([early.until(/hello[^]*hello/), late.until(/hello/)])
  t.equal(app.drain.phase, 'lame-duck')
  t.equal(app.server.listening, true)
  for (const client of [early, late]) {
    t.match(answers(client.received).at(-1), { status: 200, headers: { connection: 'close' } })
    await client.fin()
    client.halfClose()
    t.equal(await client.closed(), null)
  }

  const report = await closing
  await t.rejects(once(connect(to), 'connect'), { code: 'ECONNREFUSED' })
  t.match(report.connections, { total: 2, 'half-closed': 2 })
  t.ok(report.phases[0]!.duration >= 790)
  t.same(report.phases.map(({ phase }) => phase).slice(0, 3), ['lame-duck', 'draining', 'closed'])
})

t.test('in the lame-duck phase an idle connection is left open', async t => {
  const { app, listen } = await testApp(t, { shutdownDelay: 600, idleGrace: 50 })
  const client = await rawClient(t, await listen())
  const closing = app.drain.begin('test')
  const phase = client.fin().then(() => app.drain.phase)
  t.equal(await phase, 'draining')
  client.halfClose()
  await closing
})

t.test('with no connection app.close() is immediate, whatever the grace', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 5000, closeSpread: 5000 })
  await listen()
  const started = performance.now()
  await app.close()
  t.ok(performance.now() - started < 1000)
  t.ok(app.drain.report!.duration < 1000)
})
