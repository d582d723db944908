import t from 'tap'
import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { connect as connectHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import drain, { type FastifyDrainOptions } from '../index.ts'
import { testApp } from './helpers/app.ts'
import { hasIPv6, nameBothAddresses } from './helpers/drain-localhost.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { servers, type ServerName } from './helpers/servers.ts'

// Long enough to ask a few times.
const draining = { shutdownDelay: 2500, idleGrace: 50 }

/** Refuses everything, as an authentication would that knows nobody. */
function refuseAll (app: FastifyInstance): void {
  app.addHook('onRequest', async (_request, reply) => reply.code(401).header('www-authenticate', 'Basic').send({ error: 'who are you?' }))
}

for (const name of Object.keys(servers) as ServerName[]) {
  const server = servers[name]

  t.test(`${name}: readiness and liveness are answered, and readiness is 503 from the first moment of a drain`, async t => {
    const { app, to } = await server.start(t, { health: true, ...draining }, refuseAll)
    const client = await server.client(t, to)
    for (const [path, body] of [
      ['/readyz', { status: 'ok', phase: 'serving' }],
      ['/readyz?verbose', { status: 'ok', phase: 'serving' }],
      ['/livez', { status: 'ok', phase: 'serving' }]
    ] as const) {
      const answer = await client.ask(path).answer()
      t.equal(answer.status, 200, path)
      t.match(JSON.parse(answer.body), body, path)
    }
    t.match(await client.ask('/readyz', { method: 'HEAD' }).answer(), { status: 200, body: '' })
    t.match(await client.ask('/', {}).answer(), { status: 401 }, 'everything else is for the app')
    t.match(await client.ask('/readyz', { method: 'POST' }).answer(), { status: 401 }, 'another method, too')

    const drained = app.drain.begin('test')
    const late = await server.client(t, to)
    const answer = await late.ask('/readyz').answer()
    t.equal(answer.status, 503)
    t.match(JSON.parse(answer.body), { status: 'draining', phase: 'lame-duck', connections: { active: 1 } })
    if (!server.isHttp2) t.equal(answer.headers['connection'], 'close')

    const third = await server.client(t, to)
    const alive = await third.ask('/livez').answer()
    t.equal(alive.status, 200)
    t.match(JSON.parse(alive.body), { status: 'ok', phase: 'lame-duck' })
    if (!server.isHttp2) t.equal(alive.headers['connection'], 'close')
    const fourth = await server.client(t, to)
    t.match(await fourth.ask('/readyz', { method: 'HEAD' }).answer(), { status: 503, body: '' })

    for (const { wire } of [client, late, third, fourth]) wire.raw.reset()
    await drained
  })
}

t.test('an answer is JSON that nobody may keep, with its length, and says no more than it should', async t => {
  const { listen } = await testApp(t, { health: true, idleGrace: 50 })
  const client = await rawClient(t, await listen())
  client.write(request('/readyz?token=secret', { headers: { connection: 'close', authorization: 'secret' } }))
  await client.fin()
  const [answer] = answers(client.received)
  t.match(answer, { status: 200, headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', 'content-length': String(answer?.body.length) } })
  t.equal(answer?.body, '{"status":"ok","phase":"serving"}')
  t.notMatch(client.received, /secret/)
})

t.test('HEAD has the head of GET, over HTTP/2 as well', async t => {
  const { listen } = await testApp(t, { health: true, idleGrace: 50 }, { http2: true } as FastifyServerOptions)
  const { host, port } = await listen()
  const session = connectHttp2(`http://${host}:${port}`)
  t.teardown(() => session.close())
  const heads = await Promise.all(['GET', 'HEAD'].map(method => new Promise<object>((resolve, reject) => {
    const stream = session.request({ ':path': '/livez', ':method': method })
    stream.on('error', reject).on('response', head => resolve({ ...head, date: null })).resume()
  })))
  t.same(heads[0], heads[1])
  t.match(heads[0], { ':status': 200, 'cache-control': 'no-store', 'content-type': /json/, 'content-length': '33' })
})

t.test('hooks and limits of the app are not asked, wherever they were registered', async t => {
  let asked = 0
  const app = Fastify()
  app.addHook('onRequest', async (_request, reply) => { asked++; return reply.code(401).send('before') })
  await app.register(drain, { signals: false, health: true, idleGrace: 50 })
  app.addHook('onRequest', async () => { asked++; throw new Error('behind') })
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  for (const path of ['/readyz', '/livez']) t.equal((await fetch(url + path)).status, 200, path)
  t.equal(asked, 0)
  t.equal((await fetch(url)).status, 401)
  t.equal(asked, 1)
})

t.test('@fastify/under-pressure under pressure and @fastify/rate-limit at its limit answer others, and not the probes', async t => {
  for (const order of ['before', 'behind']) {
    const app = Fastify()
    t.teardown(() => app.close())
    const limits = async (): Promise<void> => {
      await app.register(underPressure, { maxHeapUsedBytes: 1, sampleInterval: 5 })
      await app.register(rateLimit, { max: 1 })
    }
    if (order === 'before') await limits()
    await app.register(drain, { signals: false, health: true, idleGrace: 50 })
    if (order === 'behind') await limits()
    app.get('/', async () => 'hello')
    await app.listen({ host: '127.0.0.1', port: 0 })
    const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
    const status = async (path: string): Promise<number> => (await fetch(url + path)).status
    while (await status('/') === 200) await new Promise(resolve => setTimeout(resolve, 5))
    for (const path of ['/readyz', '/livez', '/readyz']) {
      t.equal(await status(path), 200, `${order}: ${path}`)
      const injected = await app.inject(path)
      t.equal(injected.statusCode, 200, `${order}: inject() ${path}`)
      t.equal(injected.headers['retry-after'], undefined)
    }
  }
})

t.test('inject() gets the same answers, whatever the hooks of the app say', async t => {
  const { app } = await testApp(t, { health: true, idleGrace: 50 })
  refuseAll(app)
  for (const [method, path] of [['GET', '/readyz'], ['GET', '/readyz?a=b'], ['GET', '/livez'], ['HEAD', '/readyz']] as const) {
    const { statusCode, headers, payload } = await app.inject({ method, url: path })
    t.equal(statusCode, 200, path)
    t.match(headers, { 'cache-control': 'no-store', 'content-type': /json/ })
    t.equal(headers['www-authenticate'], undefined)
    t.match(payload, method === 'HEAD' ? /^$/ : /^\{"status":"ok","phase":"serving"/)
  }
})

t.test('on the second address of localhost it is the same', { skip: !hasIPv6() && 'IPv6 is missing' }, async t => {
  nameBothAddresses(t)
  const { app } = await testApp(t, { health: true, ...draining })
  // It never lets a request go on.
  app.addHook('onRequest', () => {})
  await app.listen({ port: 0 })
  const { port } = app.server.address() as AddressInfo
  const ask = async (host: string): Promise<unknown> => {
    const client = await rawClient(t, { host, port })
    client.write(request('/readyz'))
    await client.until(/\}$/)
    client.reset()
    return answers(client.received)[0]
  }
  for (const host of ['127.0.0.1', '::1']) t.match(await ask(host), { status: 200, body: /"serving"/ }, host)
  app.drain.begin('test').catch(() => {})
  for (const host of ['127.0.0.1', '::1']) t.match(await ask(host), { status: 503, headers: { connection: 'close' }, body: /"lame-duck"/ }, host)
})

t.test('a probe counts as a request of its connection: the last one that maxRequestsPerSocket allows says close', async t => {
  const { listen } = await testApp(t, { health: true, idleGrace: 50 }, { maxRequestsPerSocket: 2 })
  const client = await rawClient(t, await listen())
  client.write(request('/readyz') + request('/livez'))
  await client.fin()
  t.match(answers(client.received), [{ status: 200, headers: { connection: 'keep-alive' } }, { status: 200, headers: { connection: 'close' } }])
})

t.test('paths can be chosen, and each can be left out', async t => {
  const { app, listen } = await testApp(t, { health: { readiness: '/-/ready', liveness: false }, idleGrace: 50 })
  const { port } = await listen()
  const status = async (path: string): Promise<number> => (await fetch(`http://127.0.0.1:${port}${path}`)).status
  t.equal(await status('/-/ready'), 200)
  for (const path of ['/-/ready/', '/-/readyx', '/-/', '/readyz', '/livez']) t.equal(await status(path), 404, path)
  t.ok(app.hasRoute({ method: 'GET', url: '/-/ready' }))
})

t.test('other spellings that the router accepts are answered in the same way', async t => {
  const { listen } = await testApp(t, { health: true, idleGrace: 50 }, { routerOptions: { ignoreTrailingSlash: true, caseSensitive: false } })
  const { port } = await listen()
  for (const path of ['/readyz/', '/READYZ', '/%72eadyz']) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    t.equal(answer.status, 200, path)
    t.match(await answer.json(), { status: 'ok' })
  }
})

t.test('without it nothing is added', async t => {
  for (const health of [false, undefined, { readiness: false, liveness: false }] as const) {
    const bare = Fastify()
    const before = bare.server.rawListeners('request')
    await bare.register(drain, { signals: false, ...health === undefined ? {} : { health } })
    t.same(bare.server.rawListeners('request'), before)
    await bare.ready()
    t.equal(bare.printRoutes(), '(empty tree)')
    await bare.close()
  }
})

for (const [routes, order] of [['before', true], ['behind', false]] as const) {
  t.test(`a route of the app at one of the paths, ${routes} the plugin, is refused with what to do`, async t => {
    for (const [method, url, option] of [['GET', '/readyz', 'readiness'], ['HEAD', '/livez', 'liveness']] as const) {
      const app = Fastify()
      t.teardown(() => app.close())
      const add = (): void => { app.route({ method, url, handler: async () => 'mine' }) }
      const error = {
        code: 'FST_DRAIN_HEALTH_ROUTE',
        message: new RegExp(`option "health.${option}" is '${url}', and the app has a route of its own there \\(.*${method} ${url}.*\\); give one of them another path, or set "health.${option}" to false`)
      }
      if (order) add()
      const registered = async (): Promise<void> => { await app.register(drain, { signals: false, health: true, idleGrace: 50 }) }
      if (order) await t.rejects(registered(), error)
      else {
        await registered()
        t.throws(add, error)
      }
    }
  })
}

t.test('other routes at these paths are left alone', async t => {
  const { app, listen } = await testApp(t, { health: true, idleGrace: 50 })
  app.post('/readyz', async () => 'mine')
  app.get('/readyz/all', async () => 'mine, too')
  app.get('/:name', async () => 'a parameter')
  const { port } = await listen()
  const text = async (path: string, method = 'GET'): Promise<string> => (await fetch(`http://127.0.0.1:${port}${path}`, { method })).text()
  t.equal(await text('/readyz', 'POST'), 'mine')
  t.equal(await text('/readyz/all'), 'mine, too')
  t.equal(await text('/other'), 'a parameter')
  t.match(await text('/readyz'), /"ok"/)
})

interface Line { level: number, msg: string }

async function linesOf (t: Parameters<typeof testApp>[0], level: string, options: FastifyDrainOptions & { logLevel?: string }): Promise<Line[]> {
  const lines: Line[] = []
  const { app, listen } = await testApp(t, { health: true, idleGrace: 50, ...options }, {
    logger: { level, stream: { write (line: string) { lines.push(JSON.parse(line)) } } }
  })
  const { port } = await listen()
  lines.splice(0)
  for (const path of ['/readyz?secret=1', '/livez']) await fetch(`http://127.0.0.1:${port}${path}`)
  await app.inject('/readyz')
  return lines
}

const traced = [
  { level: 10, msg: 'health: GET /readyz 200 (serving)' },
  { level: 10, msg: 'health: GET /livez 200 (serving)' },
  { level: 10, msg: 'health: GET /readyz 200 (serving)' }
]

t.test('a probe is one line at trace, and none above', async t => {
  t.match(await linesOf(t, 'trace', {}), traced)
  t.equal((await linesOf(t, 'trace', {})).length, 3)
  for (const level of ['debug', 'info']) t.same(await linesOf(t, level, {}), [], level)
})

t.test('the logLevel of the registration is respected', async t => {
  for (const logLevel of ['debug', 'info', 'warn', 'silent']) t.same(await linesOf(t, 'trace', { logLevel }), [], logLevel)
  t.match(await linesOf(t, 'info', { logLevel: 'trace' }), traced, 'lower than that of the app')
})
