import t from 'tap'
import { accepted, eventually, testApp } from './helpers/app.ts'
import { takesBytes } from './helpers/http1-bytes.ts'
import { startProcess } from './helpers/process.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

t.test('row 1: http: a request that comes on an idle connection within idleGrace is served with Connection: close', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 2000 })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const closing = app.drain.begin('test')
  client.write(request('/'))
  await client.fin()

  const [before, during, ...more] = answers(client.received)
  t.equal(before?.headers['connection'], 'keep-alive')
  t.equal(during?.status, 200)
  t.equal(during?.headers['connection'], 'close')
  t.same(more, [])
  client.halfClose()
  t.equal(await client.closed(), null, 'no RST')
  const { requests, connections } = await closing
  t.equal(requests.served, 1)
  t.match(connections, { total: 1, 'half-closed': 1, cut: 0 })
})

t.test('row 1: http: a request that crosses our FIN provokes no RST and is not executed', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 200 })
  let executed = 0
  app.get('/', async () => `hello ${++executed}`)
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const closing = app.drain.begin('test')
  await client.fin()
  t.ok(await takesBytes(client, request('/')), 'no RST')
  t.equal(app.drain.connections.lingering, 1)
  client.halfClose()
  t.equal(await client.closed(), null)

  t.equal(executed, 1)
  t.equal(answers(client.received).length, 1)
  const { requests, connections } = await closing
  t.equal(requests.served, 0)
  t.match(connections, { total: 1, 'half-closed': 1, 'timed-out': 0, cut: 0 })
})

t.test('row 1: http: an idle connection gets our FIN when idleGrace is over, and not before', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 400 })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const began = performance.now()
  app.drain.begin('test')
  await client.fin()
  t.ok(performance.now() - began > 390)
})

t.test('row 13: http: a connection that has sent no byte gets our FIN when idleGrace is over, and not before', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 400 })
  const to = await listen()
  const opened = accepted(app)
  const client = await rawClient(t, to)
  await opened
  t.equal(app.drain.connections.new, 1)

  const began = performance.now()
  const closing = app.drain.begin('test')
  await client.fin()
  t.ok(performance.now() - began > 390)
  t.ok(await takesBytes(client, request('/')), 'what crosses our FIN provokes no RST')
  client.halfClose()
  t.equal(await client.closed(), null)
  t.equal(client.received, '')
  t.match((await closing).connections, { total: 1, 'half-closed': 1 })
})

t.test('row 13: http: a connection that has sent no byte may bring its first request within idleGrace', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 2000 })
  app.get('/', async () => 'hello')
  const to = await listen()
  const opened = accepted(app)
  const client = await rawClient(t, to)
  await opened

  app.drain.begin('test')
  await eventually(() => !app.server.listening, 'the listener is closed')
  client.write(request('/'))
  await client.fin()
  const [answer] = answers(client.received)
  t.match(answer, { status: 200, body: 'hello' })
  t.equal(answer?.headers['connection'], 'close')
})

t.test('row 13: http: a connection that comes during the lame duck has its own idleGrace', async t => {
  const { app, listen } = await testApp(t, { shutdownDelay: 300, idleGrace: 400 })
  const to = await listen()
  app.drain.begin('test')
  await new Promise(resolve => setTimeout(resolve, 200))
  const opened = accepted(app)
  const before = performance.now()
  const client = await rawClient(t, to)
  await opened
  await client.fin()
  t.ok(performance.now() - before > 390)
})

t.test('connections that were closed politely leave no timer behind that keeps the process alive', async t => {
  const started = startProcess(t, new URL('./fixtures/http1-leaves.ts', import.meta.url))
  for (const when of ['before our FIN', 'after our FIN', 'idle']) {
    t.match(await started.message(), { when, report: { connections: { total: 1, [when === 'before our FIN' ? 'peer-closed' : 'half-closed']: 1 } } })
  }
  const closedAt = performance.now()
  const { code, at } = await started.exited
  t.equal(code, 0)
  t.ok(at - closedAt < 15_000)
})
