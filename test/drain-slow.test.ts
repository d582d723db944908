import { Readable } from 'node:stream'
import t from 'tap'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { outcomes, readAll, readSlowly } from './helpers/drain-slow.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

// More than the kernel's buffers on both sides take.
const size = 24 * 1024 * 1024
const mebibyte = 1024 * 1024

t.test('row 6: http: a slow reader gets the whole answer, for as long as it reads', async t => {
  const times = { idleGrace: 0, peerCloseTimeout: 20, lingerTimeout: 100, lingerTime: 150 }
  const { app, listen } = await testApp(t, { ...times, hardStopAfter: 30_000 })
  app.get('/large', async (_request, reply) => {
    reply.header('content-length', size)
    return Readable.from(Array.from({ length: 24 }, () => Buffer.alloc(mebibyte, 'x')))
  })
  const client = await rawClient(t, await listen())
  client.socket.pause()
  client.write(request('/large'))
  await eventually(() => app.drain.connections.active === 1, 'the request was read')

  const started = performance.now()
  const closing = app.drain.begin('test')
  await readSlowly(client, mebibyte, 25)
  t.ok(performance.now() - started > times.lingerTime, 'longer than a lingering close may take')

  const [answer, ...more] = answers(client.received)
  t.equal(answer?.status, 200)
  t.equal(answer?.body.length, size)
  t.same(more, [])
  client.halfClose()
  t.equal(await client.closed(), null)
  t.equal((await closing).connections.cut, 0)
})

t.test('row 6: http: a reader that stops is cut at the deadline, and not before', async t => {
  const { app, listen } = await testApp(t, {
    idleGrace: 0, peerCloseTimeout: 10, lingerTimeout: 20, lingerTime: 50, hardStopAfter: 700
  })
  app.get('/large', async () => Buffer.alloc(size, 'x'))
  const client = await rawClient(t, await listen())
  client.socket.pause()
  client.write(request('/large'))
  await eventually(() => app.drain.connections.active === 1, 'the request was read')

  const report = await app.drain.begin('test')
  t.same(outcomes(report), { cut: 1 })
  t.ok(report.phases.find(({ phase }) => phase === 'aborting')!.at >= 690, 'at the deadline')
  t.match(report.stragglers, [{ method: 'GET', route: '/large', state: 'active', outcome: 'cut' }])
})

t.test('row 21: http: an upload that backpressure has stopped is read to its end after an early answer', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0, peerCloseTimeout: 100, lingerTimeout: 5000 })
  const answerNow = deferred()
  app.addContentTypeParser('application/octet-stream', (_request, _payload, done) => { done(null) })
  app.post('/upload', async () => {
    await answerNow.promise
    return 'not read'
  })
  const client = await rawClient(t, await listen())
  const written = deferred()
  client.write(request('/upload', {
    method: 'POST', headers: { 'content-type': 'application/octet-stream', 'content-length': String(size) }
  }))
  client.socket.write(Buffer.alloc(size), () => written.resolve())
  await eventually(() => app.drain.connections.active === 1, 'the request was read')

  const closing = app.drain.begin('test')
  // Nobody reads the body: the server has stopped the socket, and the client cannot finish.
  await new Promise(resolve => setTimeout(resolve, 100))
  t.ok(client.socket.writableLength > 0)
  answerNow.resolve()
  await written.promise
  await client.until(/not read$/)
  client.halfClose()
  t.equal(await client.closed(), null, 'no RST')

  t.match(answers(client.received), [{ status: 200, headers: { connection: 'close' } }])
  t.equal((await closing).connections['timed-out'], 0)
})

t.test('row 22: http: a chunked upload in flight completes before the deadline', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0, peerCloseTimeout: 20, lingerTimeout: 50, lingerTime: 50 })
  app.addContentTypeParser('text/plain', (_request, payload, done) => { done(null, payload) })
  app.post('/upload', async request => await readAll(request.body as never))
  const client = await rawClient(t, await listen())
  client.write(request('/upload', { method: 'POST', headers: { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' } }))
  await eventually(() => app.drain.connections.active === 1, 'the request was read')

  const closing = app.drain.begin('test')
  for (let i = 0; i < 10; i++) {
    client.write('5\r\nhello\r\n')
    await new Promise(resolve => setTimeout(resolve, 25))
  }
  client.write('0\r\n\r\n')
  await client.until(/complete/)
  client.halfClose()
  t.equal(await client.closed(), null)

  const [answer] = answers(client.received)
  t.match(answer, { status: 200, headers: { connection: 'close' } })
  t.same(JSON.parse(answer?.body ?? ''), { bytes: 50, end: 'complete' })
  t.equal((await closing).connections.cut, 0)
})

t.test('row 22: http: a chunked upload that is cut at the deadline looks truncated to its handler', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0, hardStopAfter: 300 })
  const seen = deferred<{ bytes: number, end: string }>()
  app.addContentTypeParser('text/plain', (_request, payload, done) => { done(null, payload) })
  app.post('/upload', async request => {
    seen.resolve(await readAll(request.body as never))
    return 'too late'
  })
  const client = await rawClient(t, await listen())
  client.write(request('/upload', { method: 'POST', headers: { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' } }))
  client.write('5\r\nhello\r\n')
  await eventually(() => app.drain.connections.active === 1, 'the request was read')

  const report = await app.drain.begin('test')
  t.same(await seen.promise, { bytes: 5, end: 'ECONNRESET' })
  await client.fin()
  t.equal(client.received, '')
  t.same(outcomes(report), { cut: 1 })
  t.match(report.stragglers, [{ method: 'POST', route: '/upload', outcome: 'cut' }])
})
