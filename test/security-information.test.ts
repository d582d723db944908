import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import type { FastifyDrainOptions } from '../index.ts'
import { channelNames } from '../lib/diagnostics.ts'
import { drainMetrics } from '../lib/prometheus.ts'
import { eventually, testApp } from './helpers/app.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

const short = { idleGrace: 50, peerCloseTimeout: 50, lingerTimeout: 200 }

/** An app that answers nobody it does not know, and has something to hide. */
async function guardedApp (t: Test, options: FastifyDrainOptions = {}) {
  const made = await testApp(t, { health: true, ...short, ...options })
  made.app.addHook('onRequest', async ({ headers }, reply) => {
    if (headers.authorization !== 'Bearer me') await reply.code(401).send('who are you?')
  })
  for (const path of ['/secret', '/readyz/secret', '/']) made.app.get(path, async () => 'SECRET')
  return { ...made, to: await made.listen() }
}

t.test('a probe is told its status, the phase and, while connections are drained, how many are left; nothing else, in no header either', async t => {
  const { app, to } = await guardedApp(t, { shutdownDelay: 300 })
  const ask = async (path: string) => {
    const client = await rawClient(t, to)
    client.write(request(path, { headers: { connection: 'close', authorization: 'SECRET', cookie: 'SECRET' } }))
    await client.fin()
    client.halfClose()
    return answers(client.received)[0]!
  }
  for (const path of ['/readyz', '/readyz?verbose&SECRET', '/livez']) {
    const { headers, body } = await ask(path)
    t.equal(body, '{"status":"ok","phase":"serving"}')
    t.same(Object.keys(headers).sort(), ['cache-control', 'connection', 'content-length', 'content-type', 'date'])
  }
  const drained = app.drain.begin('SECRET')
  const { headers, body } = await ask('/readyz?SECRET')
  t.same(Object.keys(JSON.parse(body)), ['status', 'phase', 'connections'])
  t.same(Object.keys(JSON.parse(body).connections), ['new', 'active', 'idle', 'upgraded', 'lingering', 'streams'])
  t.same(Object.keys(headers).sort(), ['cache-control', 'connection', 'content-length', 'content-type', 'date'])
  t.equal((await ask('/livez')).body, '{"status":"ok","phase":"lame-duck"}')
  await drained
})

t.test('no spelling of the path of a probe leads past the hooks of the app to anything but the probe', async t => {
  const { to } = await guardedApp(t)
  const targets = [
    '/readyz', '/readyz/', '//readyz', '/./readyz', '/readyz/.', '/%72eadyz', '/readyz%3f', '/READYZ', '/readyz;a=b', '/readyz#a', '/readyz?/../secret',
    '/readyz/../secret', '/readyz/..%2fsecret', '/readyz%2f..%2fsecret', '/readyz/secret', '/readyz\\..\\secret', '/livez/secret',
    'http://test/readyz', 'http://test/secret', 'http://test/readyz/../secret', 'http://test/readyz?/secret', 'http://me:SECRET@test/readyz', 'readyz', '*'
  ]
  const seen: Record<string, string> = {}
  for (const target of targets) {
    for (const method of ['GET', 'POST', 'OPTIONS', 'DELETE']) {
      const client = await rawClient(t, to)
      client.write(request(target, { method, headers: { connection: 'close' } }))
      await client.fin().catch(() => {})
      const [{ status, body } = { status: 0, body: '' }] = answers(client.received)
      const isProbe = body === '{"status":"ok","phase":"serving"}'
      if (isProbe) seen[`${method} ${target}`] = 'the probe'
      t.ok(isProbe ? status === 200 : [400, 401, 404].includes(status), `${method} ${target}: ${status}`)
      t.notMatch(body, /SECRET/)
    }
  }
  t.same(Object.keys(seen).sort(), [
    'GET /%72eadyz', 'GET /readyz', 'GET /readyz#a', 'GET /readyz?/../secret', 'GET http://me:SECRET@test/readyz', 'GET http://test/readyz', 'GET http://test/readyz?/secret'
  ].sort(), 'those that the router takes for the path')
})

t.test('a body behind the head of a probe is no request', async t => {
  const { to } = await guardedApp(t)
  const hidden = request('/secret', { headers: { authorization: 'Bearer me' } })
  const client = await rawClient(t, to)
  client.write(request('/readyz', { body: hidden }) + request('/readyz', { headers: { connection: 'close', upgrade: 'websocket' } }))
  await client.fin()
  t.same(answers(client.received).map(({ status, body }) => [status, JSON.parse(body).status]), [[200, 'ok'], [200, 'ok']])
  t.notMatch(client.received, /SECRET/)
})

/** Requests that nobody answers, with something in them that nobody shall read anywhere else; and what all of that left behind. */
async function stragglers (t: Test, server: object, send: (to: { host: string, port: number }, app: FastifyInstance) => Promise<unknown>) {
  const file = join(t.testdir({}), 'drain.json')
  const lines: string[] = []
  const published: unknown[] = []
  const registry = new Registry()
  const { app, listen } = await testApp(t, { ...short, hardStopAfter: 500, report: { file } }, {
    ...server, logger: { level: 'trace', stream: { write (line: string) { lines.push(line) } } }, disableRequestLogging: true
  })
  await app.register(drainMetrics, { registry })
  const series = async (): Promise<number> => (await registry.metrics()).split('\n').filter(line => !line.startsWith('#')).length
  for (const name of Object.values(channelNames)) {
    const hear = ({ drain: _drain, ...message }: any): void => { published.push(message) }
    subscribe(name, hear)
    t.teardown(() => unsubscribe(name, hear))
  }
  app.all('*', () => new Promise(() => {}))
  app.setNotFoundHandler(() => new Promise(() => {}))
  app.server.on('connect', () => {})
  const to = await listen()
  const before = await series()
  const count = await send(to, app)
  await eventually(() => app.drain.connections.active + app.drain.connections.upgraded === count, 'all of them are held')
  const report = await app.drain.begin('test')
  await eventually(() => lines.some(line => line.includes('the report is in')), 'the report is written')
  return {
    report,
    lines,
    metrics: { before, after: await series(), text: await registry.metrics() },
    everything: { report: JSON.stringify(report), log: lines.join(''), channels: JSON.stringify(published), file: readFileSync(file, 'utf8'), page: readFileSync(file.replace('.json', '.html'), 'utf8'), metrics: await registry.metrics() }
  }
}

// What a terminal obeys, or an editor hides; new lines end the lines of a log.
const unprintable = /(?!\n)[\p{C}]/u
const hostile = [
  '/path?SECRET', '/path;jsessionid=SECRET', '/path#SECRET', '/path;SECRET/more?SECRET', 'http://me:SECRET@test/path?SECRET', 'HTTPS://SECRET@test', '//path?SECRET=/',
  `/${'x'.repeat(10_000)}SECRET`, '/<script>alert(1)</script>"\'&?SECRET'
]
// Node's parser of HTTP/1.1 refuses these.
const hostileToTerminals = '/\x9b2J\x80\x85\xadpath?SECRET'

t.test('reports, their page, logs, channels and metrics have no query string, no password, no header, no body and no control character of a request in them', async t => {
  const { report, metrics, everything } = await stragglers(t, {}, async to => {
    for (const target of hostile) {
      const client = await rawClient(t, to)
      client.socket.on('error', () => {})
      client.write(Buffer.from(request(target, { method: 'PROPFIND', headers: { authorization: 'SECRET', cookie: 'SECRET', 'user-agent': 'SECRET', referer: 'SECRET', 'x-forwarded-for': 'SECRET' }, body: 'SECRET' }), 'latin1'))
    }
    const tunnel = await rawClient(t, to)
    tunnel.write(request('me:SECRET@example.org:443', { method: 'CONNECT' }))
    return hostile.length + 1
  })
  for (const [where, text] of Object.entries(everything)) {
    t.notMatch(text, /SECRET/, where)
    t.notMatch(text, unprintable, where)
  }
  t.equal(report.stragglers.length, hostile.length + 1)
  t.ok(report.stragglers.every(({ route }) => (route ?? '').length <= 501))
  t.same(new Set(report.stragglers.slice(0, 4).map(({ method, route }) => `${method} ${route}`)), new Set(['PROPFIND /path']))
  t.equal(metrics.after, metrics.before)
})

t.test('over HTTP/2 there is nothing of that in them either', async t => {
  const paths = [hostileToTerminals, ...hostile.filter(target => target.startsWith('/'))]
  const { report, metrics, everything } = await stragglers(t, { http2: true }, async ({ host, port }) => {
    for (const path of paths) {
      const session = connectHttp2(`http://${host}:${port}`)
      session.on('error', () => {})
      t.teardown(() => session.destroy())
      session.request({ ':path': path, ':method': 'PUT', ':authority': 'test', authorization: 'SECRET', cookie: 'SECRET' }).on('error', () => {}).end('SECRET')
    }
    return paths.length
  })
  for (const [where, text] of Object.entries(everything)) {
    t.notMatch(text, /SECRET/, where)
    t.notMatch(text, unprintable, where)
  }
  t.ok(report.stragglers.some(({ route }) => route === '/\ufffd2J\ufffd\ufffd\ufffdpath'))
  t.equal(metrics.after, metrics.before)
})

t.test('the series of the metrics are the same whatever clients ask for', async t => {
  const registry = new Registry()
  const { app, listen } = await testApp(t, short)
  await app.register(drainMetrics, { registry })
  app.get('/items/:id', async () => 'hello')
  const to = await listen()
  const names = async (): Promise<string[]> => (await registry.metrics()).split('\n').map(line => line.replace(/ [^ ]+$/, '')).sort()
  const before = await names()
  for (let i = 0; i < 50; i++) {
    const client = await rawClient(t, to)
    client.write(['GET', 'POST', 'PURGE', 'NOTHING', '\x16\x03\x01'][i % 5] + ` /items/${i}?${i} HTTP/1.1\r\nhost: h${i}\r\nconnection: close\r\n\r\n`)
    await client.fin()
    client.halfClose()
  }
  await app.close()
  t.same(await names(), before)
})

t.test('the reason of a drain reaches no client, and breaks no line of the log', async t => {
  const lines: string[] = []
  const { app, listen } = await testApp(t, short, { logger: { level: 'trace', stream: { write (line: string) { lines.push(line) } } } })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)
  const drained = app.drain.begin('SECRET\r\nset-cookie: SECRET\r\n\r\n\u001b[2J')
  client.write(request('/'))
  await client.until(text => text.endsWith('hello') && text.includes('close'))
  t.notMatch(client.received, /SECRET/)
  client.halfClose()
  await drained
  t.ok(lines.some(line => line.includes('SECRET')))
  for (const line of lines) {
    t.ok(JSON.parse(line))
    t.notMatch(line, /[\p{Cc}](?!$)/u)
  }
})
