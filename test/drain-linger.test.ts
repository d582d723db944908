import t from 'tap'
import { accepted, testApp } from './helpers/app.ts'
import { outcomes } from './helpers/drain-slow.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

t.test('row 8: http: an idle client that never closes after our FIN is closed at lingerTimeout, and named', async t => {
  const { app, listen, logged } = await testApp(t, { idleGrace: 50, lingerTimeout: 200, lingerTime: 8000 })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const closing = app.drain.begin('test')
  await client.fin()
  t.equal(app.drain.connections.lingering, 1)
  const report = await closing

  t.same(outcomes(report), { 'timed-out': 1 })
  t.ok(report.duration >= 240, 'not before lingerTimeout')
  t.ok(report.duration < 8000, 'long before lingerTime')
  const { localPort } = client.socket
  t.match(report.stragglers, [{ remoteAddress: '127.0.0.1', remotePort: localPort, state: 'lingering', outcome: 'timed-out' }])
  t.ok(logged.some(line => line.includes(`127.0.0.1:${localPort}`) && line.includes('timed-out')), 'the summary names it')
})

t.test('row 8: http: a client that never sent a byte and never closes is closed at lingerTimeout', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 50, lingerTimeout: 100, lingerTime: 8000 })
  const to = await listen()
  const [client] = await Promise.all([rawClient(t, to), accepted(app)])

  const closing = app.drain.begin('test')
  await client.fin()
  const report = await closing
  t.same(outcomes(report), { 'timed-out': 1 })
  t.ok(report.duration < 8000)
})

t.test('row 8: http: a client that reads Connection: close and never closes is closed at lingerTimeout', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 5000, peerCloseTimeout: 50, lingerTimeout: 100, lingerTime: 8000 })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const closing = app.drain.begin('test')
  client.write(request('/'))
  await client.fin()
  const report = await closing
  t.match(answers(client.received), [{ headers: { connection: 'keep-alive' } }, { headers: { connection: 'close' } }])
  t.same(outcomes(report), { 'timed-out': 1 })
  t.ok(report.duration < 5000, 'neither idleGrace nor lingerTime is waited for')
})

t.test('row 9: http: a client that trickles bytes while we linger is closed at lingerTime', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 50, lingerTimeout: 300, lingerTime: 700 })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const closing = app.drain.begin('test')
  await client.fin()
  const trickle = setInterval(() => client.write('x'), 20)
  t.teardown(() => clearInterval(trickle))
  const report = await closing

  t.same(outcomes(report), { 'timed-out': 1 })
  t.ok(report.duration >= 740, 'the trickle keeps it from being silent')
  t.ok(report.duration < 10_000, 'not only the deadline ends it')
  t.match(report.stragglers, [{ state: 'lingering', outcome: 'timed-out' }])
})

t.test('row 9: http: nothing that trickles in while we linger is answered', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 50, lingerTimeout: 1000 })
  let handled = 0
  app.get('/', async () => { handled++; return 'hello' })
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const closing = app.drain.begin('test')
  await client.fin()
  client.write(request('/'))
  client.write('not HTTP\r\n\r\n')
  client.halfClose()
  t.equal(await client.closed(), null, 'no RST')
  t.same(outcomes(await closing), { 'half-closed': 1 })
  t.equal(handled, 1)
  t.equal(answers(client.received).length, 1)
})
