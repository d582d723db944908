import t from 'tap'
import { eventually, testApp } from './helpers/app.ts'
import { takesBytes } from './helpers/http1-bytes.ts'
import { uploaders } from './helpers/http1-uploads.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

const payload = Buffer.alloc(8 * 1024 * 1024, 'x')
const times = Number(process.env['EARLY_ANSWERS'] ?? 10)

const early = [
  { what: 'a 413', path: '/limited', contentType: 'application/json', status: 413, body: /FST_ERR_CTP_BODY_TOO_LARGE/, repetitions: times },
  { what: 'a 401 of a hook', path: '/guarded', contentType: 'application/json', status: 401, body: /^who are you\?$/, repetitions: 3 },
  { what: 'a 401 of a handler that has not begun to read the stream', path: '/streamed', contentType: 'application/octet-stream', status: 401, body: /^who are you\?$/, repetitions: 3 }
]

type TestOptions = Parameters<typeof testApp>[1]

async function uploadApp (t: Parameters<typeof testApp>[0], options: TestOptions = {}) {
  const { app, listen } = await testApp(t, options, { logger: false })
  app.addContentTypeParser('application/octet-stream', (_request, stream, done) => { done(null, stream) })
  app.post('/limited', { bodyLimit: 1024 }, async () => 'never')
  app.post('/guarded', { onRequest: async (_request, reply) => reply.code(401).send('who are you?') }, async () => 'never')
  app.post('/streamed', async (_request, reply) => reply.code(401).send('who are you?'))
  const { host, port } = await listen()
  return { app, host, port, url: `http://${host}:${port}` }
}

// The request during which it is sent begins the drain.
async function drainingApp (t: Parameters<typeof testApp>[0]) {
  let drained: Promise<unknown> = Promise.resolve()
  const { app, url } = await uploadApp(t, { idleGrace: 100 })
  app.server.prependListener('request', () => { drained = app.drain.begin('test') })
  return { url, drained: () => drained }
}

for (const { name, missing, upload } of uploaders) {
  for (const { what, path, contentType, status, body, repetitions } of early) {
    t.test(`row 3: http: ${name} reads the whole of ${what} to an 8 MB upload`, { skip: missing }, async t => {
      const { url } = await uploadApp(t)
      const results = await upload(Array(repetitions).fill(url + path), contentType, payload)
      t.equal(results.length, repetitions)
      for (const result of results) t.match(result, { status, body })
    })

    t.test(`row 3: http: ${name} reads the whole of ${what} to an 8 MB upload during which a drain begins`, { skip: missing }, async t => {
      const apps = await Promise.all(Array.from({ length: repetitions }, () => drainingApp(t)))
      const results = await upload(apps.map(({ url }) => url + path), contentType, payload)
      t.equal(results.length, repetitions)
      for (const result of results) t.match(result, { status, body })
      const reports = await Promise.all(apps.map(({ drained }) => drained()))
      for (const report of reports) t.match(report, { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
    })
  }
}

t.test('row 3: http: FIN follows an early 413 while the rest of the body is still read', async t => {
  const { app, host, port } = await uploadApp(t)
  const client = await rawClient(t, { host, port })
  client.write(request('/limited', { method: 'POST', headers: { 'content-type': 'application/json', 'content-length': '8000000' } }))
  await client.fin()
  const [answer] = answers(client.received)
  t.equal(answer?.status, 413)
  t.equal(answer?.headers['connection'], 'close')
  t.ok(await takesBytes(client, payload.subarray(0, 2_000_000)), 'no RST')
  t.equal(app.drain.connections.lingering, 1)
  client.halfClose()
  t.equal(await client.closed(), null)
})

for (const when of ['in steady state', 'during a drain']) {
  t.test(`row 3: http: an upload that nobody reads, stopped by backpressure, is discarded after the answer, ${when}`, async t => {
    const { app, listen } = await testApp(t)
    app.addContentTypeParser('application/octet-stream', (_request, stream, done) => { done(null, stream) })
    app.post('/', async ({ raw: { socket } }, reply) => {
      await eventually(() => (socket as { _handle?: { reading?: boolean } })._handle?.reading === false || socket.isPaused(), 'the reads have stopped')
      if (when === 'during a drain') app.drain.begin('test')
      else reply.header('connection', 'close')
      return reply.code(401).send('who are you?')
    })
    const client = await rawClient(t, await listen())
    client.write(request('/', { method: 'POST', headers: { 'content-type': 'application/octet-stream', 'content-length': String(payload.length) } }))
    const error = await new Promise(resolve => { client.socket.write(payload, resolve) })
    t.notOk(error, 'everything is taken')
    await client.fin()
    t.match(answers(client.received), { length: 1, 0: { status: 401, body: 'who are you?', headers: { connection: 'close' } } })
    client.halfClose()
    t.equal(await client.closed(), null, 'no RST')
  })
}

t.test('row 3: http: a connection whose request was answered early is not idle before the body is there', async t => {
  const { app, host, port } = await uploadApp(t, { idleGrace: 50 })
  const idle = await rawClient(t, { host, port })
  const client = await rawClient(t, { host, port })
  client.write(request('/guarded', { method: 'POST', headers: { 'content-type': 'application/json', 'content-length': '2000000' } }))
  await client.until(/who are you/)
  t.equal(app.drain.connections.active, 1)

  app.drain.begin('test')
  await idle.fin()
  client.write(payload.subarray(0, 2_000_000))
  client.write(request('/guarded', { method: 'POST' }))
  await client.fin()
  const [first, second] = answers(client.received)
  t.equal(first?.headers['connection'], 'keep-alive')
  t.match(second, { status: 401, headers: { connection: 'close' } })
})
