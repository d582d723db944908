import t from 'tap'
import type { FastifyServerOptions } from 'fastify'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { testApp } from './helpers/app.ts'
import { hasIPv6, nameBothAddresses } from './helpers/drain-localhost.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { asHttp2, servers } from './helpers/servers.ts'

const quick = { idleGrace: 0 }
// Without the plugin each of them would have ended the connection long before.
const short = { keepAliveTimeout: 100, http2SessionTimeout: 100, requestTimeout: 200, http: { headersTimeout: 150, connectionsCheckingInterval: 50 } }
const idle = 1500

t.test('http: an idle connection outlives the idle timeout of the proxy, a new one as well, and the head of an answer promises no more', async t => {
  const { app, listen } = await testApp(t, { ...quick, behind: idle }, short as FastifyServerOptions)
  app.get('/', async () => 'hello')
  const to = await listen()
  const [used, fresh] = await Promise.all([rawClient(t, to), rawClient(t, to)])
  used.write(request('/'))
  await used.until(/hello/)
  const [{ headers } = { headers: {} as Record<string, string> }] = answers(used.received)
  t.equal(headers['keep-alive'], `timeout=${Math.floor(app.server.keepAliveTimeout / 1000)}`)
  await new Promise(resolve => setTimeout(resolve, idle + 500))
  for (const [client, name] of [[used, 'used'], [fresh, 'new']] as const) {
    client.write(request('/', { headers: { connection: 'close' } }))
    await client.fin()
    t.match(answers(client.received).at(-1), { status: 200, body: 'hello' }, name)
  }
})

t.test('http: and when its own time is over the connection is closed', async t => {
  const { app, listen } = await testApp(t, { ...quick, behind: 1 })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  const began = performance.now()
  client.write(request('/'))
  await client.fin()
  t.ok(performance.now() - began >= app.server.keepAliveTimeout)
})

for (const name of ['https', 'allowHTTP1', 'h2c', 'h2'] as const) {
  t.test(`${name}: an idle connection outlives the idle timeout of the proxy`, async t => {
    const server = servers[name]
    const { to } = await server.start(t, { ...quick, behind: idle }, undefined, short)
    const client = await server.client(t, to)
    await client.ask('/').answer()
    await new Promise(resolve => setTimeout(resolve, idle + 500))
    t.match(await client.ask('/').answer(), { status: 200, body: 'hello' })
    if (server.isHttp2) t.same(asHttp2(client).goaways, [])
  })
}

t.test('the second server of localhost has the same timeouts', { skip: !hasIPv6() && 'IPv6 is missing' }, async t => {
  nameBothAddresses(t)
  const { app } = await testApp(t, { ...quick, behind: idle }, short as FastifyServerOptions)
  app.get('/', async () => 'hello')
  await app.listen({ port: 0 })
  const { port } = app.server.address() as AddressInfo
  const clients = await Promise.all(['127.0.0.1', '::1'].map(host => rawClient(t, { host, port })))
  for (const client of clients) client.write(request('/'))
  await Promise.all(clients.map(client => client.until(/hello/)))
  for (const client of clients) t.match(answers(client.received), [{ headers: { 'keep-alive': 'timeout=6' } }])
  await new Promise(resolve => setTimeout(resolve, idle))
  for (const client of clients) {
    client.write(request('/', { headers: { connection: 'close' } }))
    await client.fin()
    t.equal(answers(client.received).length, 2)
  }
})

t.test('the timeouts are there before the app listens', async t => {
  const { app } = await testApp(t, { ...quick, behind: 'aws-alb' })
  t.equal(app.server.keepAliveTimeout, 65_000)
  t.ok(app.server.headersTimeout > 65_000)
})

t.test('settings that contradict are told of once, in one line, when the app listens', async t => {
  const { app, listen, logged } = await testApp(t, { ...quick, behind: 'aws-alb' }, { keepAliveTimeout: 5000 })
  const warnings = (): string[] => logged.filter(line => /behind/.test(line))
  t.same(warnings(), [])
  await listen()
  t.equal(warnings().length, 1)
  t.match(warnings()[0], /^fastify-drain: behind 'aws-alb' .*60000 ms, but keepAliveTimeout is 5000 ms: keepAliveTimeout is 65000 ms now; leave keepAliveTimeout out/)
  t.equal(app.server.keepAliveTimeout, 65_000, 'behind wins')
})

t.test('what is set on the server behind the registration is told of, too', async t => {
  const { app, listen, logged } = await testApp(t, { ...quick, behind: 'nginx' })
  app.server.keepAliveTimeout = 1000
  await listen()
  t.ok(logged.some(line => /keepAliveTimeout is 1000 ms/.test(line)))
  t.equal(app.server.keepAliveTimeout, 65_000)
})

t.test('where nothing contradicts nothing is said, and without it nothing is changed', async t => {
  const silent = await testApp(t, { ...quick, behind: 'gcp' })
  await silent.listen()
  t.notOk(silent.logged.some(line => /behind/.test(line)))
  const { app, listen } = await testApp(t, quick)
  await listen()
  t.equal(app.server.keepAliveTimeout, 72_000)
  t.equal(app.server.headersTimeout, 60_000)
})

t.test('a session of HTTP/2 ends by the timeout of Fastify, which is longer now, with GOAWAY', async t => {
  const { app, listen } = await testApp(t, { ...quick, behind: 1 }, { http2: true, http2SessionTimeout: 50 } as FastifyServerOptions)
  app.get('/', async () => 'hello')
  const { host, port } = await listen()
  const session = http2.connect(`http://${host}:${port}`)
  const began = performance.now()
  await new Promise<void>((resolve, reject) => { session.on('error', reject).on('close', resolve) })
  t.ok(performance.now() - began >= 5000)
})
