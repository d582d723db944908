import t from 'tap'
import { eventually, testApp } from './helpers/app.ts'
import { outcomes } from './helpers/drain-slow.ts'
import { handWrittenEvents } from './helpers/hand-written-events.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

t.test('row 17: http: an event stream that listens to drain.signal ends at once, whole, and then the drain does', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 50, peerCloseTimeout: 50 })
  handWrittenEvents(app, { obeys: true })
  const client = await rawClient(t, await listen())
  client.write(request('/events'))
  await client.until(/more/)

  const closing = app.drain.begin('test')
  await client.fin()
  const [answer] = answers(client.received)
  t.match(answer?.body, /data: last\n\n$/)
  client.halfClose()
  t.equal(await client.closed(), null)

  const report = await closing
  t.same(outcomes(report), { 'half-closed': 1 })
  t.ok(report.duration < 5000, 'long before the deadline')
  t.equal(report.requests.served, 1)
})

t.test('row 17: http: drain.signal says why', async t => {
  const { app } = await testApp(t)
  await app.ready()
  t.equal(app.drain.signal.aborted, false)
  const closing = app.drain.begin('because of a test')
  t.equal(app.drain.signal.aborted, true)
  t.match(app.drain.signal.reason, { code: 'FST_DRAIN_DRAINING', message: /because of a test/ })
  await closing
})

t.test('row 17: http: a stream that does not listen is cut at the deadline, and named', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 50, hardStopAfter: 500 })
  handWrittenEvents(app, { obeys: false })
  const client = await rawClient(t, await listen())
  client.write(request('/events?token=secret'))
  await client.until(/more/)

  const report = await app.drain.begin('test')
  await client.fin()
  t.throws(() => answers(client.received + '\r\nhello'), 'the body has no end')
  t.same(outcomes(report), { cut: 1 })
  t.same(report.phases.map(({ phase }) => phase).slice(0, 4), ['lame-duck', 'draining', 'aborting', 'closed'])
  t.ok(report.phases.find(({ phase }) => phase === 'aborting')!.at >= 490)
  t.match(report.stragglers, [{ method: 'GET', route: '/events', state: 'active', outcome: 'cut' }])
})

t.test('row 28: http: a long request that arrives late on an idle connection is answered', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 300, peerCloseTimeout: 50 })
  app.get('/', async () => 'hello')
  app.get('/long', async () => {
    await new Promise(resolve => setTimeout(resolve, 900))
    return 'at last'
  })
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const closing = app.drain.begin('test')
  await eventually(() => app.drain.phase === 'draining', 'the grace runs')
  await new Promise(resolve => setTimeout(resolve, 150))
  client.write(request('/long'))
  await client.until(/at last/)
  await client.fin()
  client.halfClose()
  t.equal(await client.closed(), null)

  t.match(answers(client.received)[1], { status: 200, headers: { connection: 'close' }, body: 'at last' })
  const report = await closing
  t.same(outcomes(report), { 'half-closed': 1 })
  t.ok(report.duration > 900)
})

t.test('row 28: http: a request that takes longer than what is left of the budget is cut at the deadline', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 300, hardStopAfter: 700 })
  app.get('/', async () => 'hello')
  app.get('/endless', () => new Promise(() => {}))
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)

  const closing = app.drain.begin('test')
  await eventually(() => app.drain.phase === 'draining', 'the grace runs')
  client.write(request('/endless'))
  const report = await closing
  await client.fin()
  t.same(outcomes(report), { cut: 1 })
  t.ok(report.phases.find(({ phase }) => phase === 'aborting')!.at >= 690)
  t.match(report.stragglers, [{ route: '/endless', outcome: 'cut' }])
})
