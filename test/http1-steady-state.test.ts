import t from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { eventually, testApp } from './helpers/app.ts'
import { noFinFor, takesBytes } from './helpers/http1-bytes.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

type ServerOptions = Parameters<typeof testApp>[2]

async function helloApp (t: Parameters<typeof testApp>[0], server: ServerOptions = {}) {
  const { app, listen } = await testApp(t, {}, server)
  const executed: string[] = []
  app.get('/:name', async ({ url }) => { executed.push(url); return 'hello' })
  app.post('/', async ({ body }) => body)
  // Node waits a second longer than it is told; 22 and later can be talked out of that.
  Object.assign(app.server, { keepAliveTimeoutBuffer: 0 })
  return { app, executed, to: await listen() }
}

t.test('keepAliveTimeout closes by FIN, and a request that crosses it provokes no RST and is not executed', async t => {
  const { app, executed, to } = await helloApp(t, { keepAliveTimeout: 200 })
  const client = await rawClient(t, to)
  client.write(request('/a'))
  await client.fin()
  t.match(answers(client.received), { length: 1, 0: { status: 200, headers: { connection: 'keep-alive' } } })
  t.ok(await takesBytes(client, request('/b')), 'no RST')
  t.equal(app.drain.connections.lingering, 1)
  client.halfClose()
  t.equal(await client.closed(), null)
  t.same(executed, ['/a'])
})

t.test('the last answer that maxRequestsPerSocket allows says close, and FIN follows at once', async t => {
  const { app, executed, to } = await helloApp(t, { maxRequestsPerSocket: 2 })
  const client = await rawClient(t, to)
  client.write(request('/a'))
  await client.until(/hello/)
  client.write(request('/b'))
  await client.fin()
  t.same(answers(client.received).map(({ headers }) => headers['connection']), ['keep-alive', 'close'])
  t.ok(await takesBytes(client, request('/c')), 'no RST')
  t.equal(app.drain.connections.lingering, 1)
  client.halfClose()
  t.equal(await client.closed(), null)
  t.same(executed, ['/a', '/b'])
})

t.test('an answer to a request that said close is followed by FIN at once, and what crosses it provokes no RST', async t => {
  const { app, executed, to } = await helloApp(t)
  const client = await rawClient(t, to)
  client.write(request('/a', { headers: { connection: 'close' } }))
  await client.fin()
  t.match(answers(client.received), { length: 1, 0: { headers: { connection: 'close' } } })
  t.ok(await takesBytes(client, request('/b')), 'no RST')
  t.equal(app.drain.connections.lingering, 1)
  client.halfClose()
  t.equal(await client.closed(), null)
  t.same(executed, ['/a'])
})

async function bareApp (t: Parameters<typeof testApp>[0], server: ServerOptions = {}): Promise<{ app: FastifyInstance, to: { host: string, port: number } }> {
  const app = Fastify(server) as unknown as FastifyInstance
  app.get('/:name', async () => 'hello')
  app.post('/', async ({ body }) => body)
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  return { app, to: { host: '127.0.0.1', port: (app.server.address() as AddressInfo).port } }
}

const post = 'POST / HTTP/1.1\r\nhost: test\r\ncontent-type: text/plain\r\n'

const malformed: Record<string, string> = {
  'no HTTP at all': 'how do you do?\r\n\r\n',
  'an HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'an unknown version': 'GET /a HTTP/9.9\r\nhost: test\r\n\r\n',
  'no Host': 'GET /a HTTP/1.1\r\n\r\n',
  'a header without a colon': 'GET /a HTTP/1.1\r\nhost: test\r\nbroken\r\n\r\n',
  'a control character in a header': 'GET /a HTTP/1.1\r\nhost: test\r\nx: a\0b\r\n\r\n',
  'a content-length that is no number': `${post}content-length: five\r\n\r\n`,
  'two ways to tell the length': `${post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n`,
  'a chunk without a size': `${post}transfer-encoding: chunked\r\n\r\nsize\r\n`,
  'nonsense behind an answered request': `${request('/a')}nonsense\r\n\r\n`
}

for (const [what, bytes] of Object.entries(malformed)) {
  t.test(`a malformed request (${what}) gets the same bytes as from bare Fastify, and no RST`, async t => {
    const bare = await bareApp(t)
    const { app, to } = await helloApp(t)
    const withoutDates: string[] = []
    for (const address of [bare.to, to]) {
      const client = await rawClient(t, address)
      client.write(bytes)
      await client.fin()
      withoutDates.push(client.received.replaceAll(/\r\nDate: [^\r]*/g, ''))
      if (address === to) {
        t.ok(await takesBytes(client, 'more of the same'), 'no RST')
        client.halfClose()
        t.equal(await client.closed(), null)
      }
    }
    t.match(withoutDates[0], /HTTP\/1\.1 400 Bad Request/)
    t.equal(withoutDates[1], withoutDates[0])
    await eventually(() => Object.values(app.drain.connections).every(count => count === 0), 'no connection is left')
  })
}

t.test('a client that sends 1 MB of headers reads the whole 431', async t => {
  const { app, to } = await helloApp(t)
  const client = await rawClient(t, to)
  client.write(`GET /a HTTP/1.1\r\nhost: test\r\nx: ${'x'.repeat(20_000)}`)
  await client.fin()
  t.match(answers(client.received), { length: 1, 0: { status: 431, body: /Exceeded maximum allowed HTTP header size/ } })
  t.ok(await takesBytes(client, Buffer.alloc(400_000, 'x')), 'no RST')
  t.equal(app.drain.connections.lingering, 1)
  client.halfClose()
  t.equal(await client.closed(), null)
})

const requestHalf = `${post}content-length: 5\r\n\r\nab`

t.test('connectionTimeout destroys a connection whose request has stalled, as in bare Fastify', async t => {
  const server = { connectionTimeout: 200 }
  const bare = await bareApp(t, server)
  const { app, to } = await helloApp(t, server)
  for (const address of [bare.to, to]) {
    const client = await rawClient(t, address)
    client.write(requestHalf)
    await client.fin()
    t.equal(client.received, '')
    t.notOk(await takesBytes(client, 'c'), 'nobody reads any more')
  }
  t.same(app.drain.connections, { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 })
})

t.test('connectionTimeout closes a connection that is between requests by FIN', async t => {
  const { app, to } = await helloApp(t, { connectionTimeout: 200 })
  const client = await rawClient(t, to)
  await client.fin()
  t.ok(await takesBytes(client, request('/a')), 'no RST')
  t.equal(app.drain.connections.lingering, 1)
})

t.test('a timeout that a handler listens to is left to it', async t => {
  const { app, listen } = await testApp(t, {}, { connectionTimeout: 150 })
  const timeouts: string[] = []
  app.get('/answer', async (_request, reply) => {
    await new Promise<void>(resolve => { reply.raw.on('timeout', () => { timeouts.push('answer'); resolve() }) })
    return 'late'
  })
  app.addContentTypeParser('application/octet-stream', (_request, stream, done) => { done(null, stream) })
  app.post('/request', async ({ raw }) => {
    await new Promise<void>(resolve => { raw.on('timeout', () => { timeouts.push('request'); resolve() }) })
    return 'late'
  })
  const to = await listen()
  for (const bytes of [request('/answer'), requestHalf.replace(' / ', ' /request ').replace('text/plain', 'application/octet-stream')]) {
    const client = await rawClient(t, to)
    client.write(bytes)
    t.match(await client.until(/late/), /^HTTP\/1\.1 200 OK/)
  }
  t.same(timeouts, ['answer', 'request'])
})

t.test('res.setTimeout() is left to the handler that calls it', async t => {
  const { app, listen } = await testApp(t)
  app.get('/', (_request, reply) => {
    reply.raw.setTimeout(100, () => { reply.send('late') })
  })
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  t.match(await client.until(/late/), /^HTTP\/1\.1 200 OK/)
})

t.test('a timeout that the app listens to on its server is left to it', async t => {
  const { app, to } = await helloApp(t, { connectionTimeout: 150 })
  const timedOut = once(app.server, 'timeout')
  const client = await rawClient(t, to)
  await timedOut
  t.ok(await noFinFor(client, 100))
  client.write(request('/a'))
  await client.until(/hello/)
})
