import t, { type Test } from 'tap'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import { join } from 'node:path'
import Fastify from 'fastify'
import drain, { type DrainReportFile, type FastifyDrainOptions } from '../index.ts'
import { testApp } from './helpers/app.ts'
import { startProcess } from './helpers/process.ts'
import { rawClient, request, type RawClient } from './helpers/raw-client.ts'
import { client as webSocketClient } from './helpers/websocket.ts'

const host = '127.0.0.1'

/** A process with two apps, each of which has a report of its own. */
async function start (t: Test, options: FastifyDrainOptions) {
  const folder = t.testdir({})
  const service = startProcess(t, new URL('fixtures/report-app.ts', import.meta.url), {
    env: { FILE: join(folder, 'http1.json'), FILE2: join(folder, 'http2.json'), OPTIONS: JSON.stringify(options) }
  })
  const { ports: [port, port2] } = await service.message(({ type }) => type === 'listening')
  const read = (name: string) => ({
    json: JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as DrainReportFile,
    page: readFileSync(join(folder, `${name}.html`), 'utf8')
  })
  const ask = async (path: string): Promise<RawClient> => {
    const client = await rawClient(t, { host, port })
    client.write(request(path))
    await service.message(({ type, url }) => type === 'request' && url === path)
    return client
  }
  return { service, folder, port: port as number, port2: port2 as number, read, ask }
}

t.test('after SIGTERM both files of each app say what became of every connection', async t => {
  const { service, folder, port, port2, read, ask } = await start(t, { hardStopAfter: 2500, idleGrace: 200, peerCloseTimeout: 100 })
  const endless = await ask('/endless/<script>alert(1)</script>?token=secret')
  const [slow, idle] = [await ask('/slow'), await ask('/')]
  await idle.until(/hello/)
  const silent = await rawClient(t, { host, port })
  const socket = await webSocketClient(t, { host, port }, { path: '/socket' })
  const session = http2.connect(`http://${host}:${port2}`)
  t.teardown(() => session.destroy())
  session.on('error', () => {})
  const stream = session.request({ ':path': '/slow' })
  stream.resume()
  await service.message(({ type, url }) => type === 'request' && url === '/slow')
  for (const client of [slow, idle, silent]) client.socket.on('end', () => client.halfClose())
  const portOf = new Map(Object.entries({ endless, slow, idle, silent }).map(([name, { socket }]) => [socket.localPort, name]))

  service.child.kill('SIGTERM')
  await service.message(({ type }) => type === 'draining')
  const late = await rawClient(t, { host, port }).catch(() => null)
  late?.socket.on('end', () => late.halfClose())
  t.equal((await service.exited).code, 1, 'something was cut')
  t.equal((await socket.closed).code, 1001)
  t.match(slow.received, /at last/)

  t.same(readdirSync(folder).sort(), ['http1.html', 'http1.json', 'http2.html', 'http2.json'])
  const { json, page } = read('http1')
  const { connections } = json.timeline
  t.equal(json.reason, 'SIGTERM')
  t.same(json.phases.map(({ phase }) => phase), ['lame-duck', 'draining', 'aborting', 'closed'])
  t.equal(connections.length, json.connections.total)
  for (const { states, endedAt, outcome, acceptedAt } of connections) {
    const times = [...states.map(([at]) => at), endedAt as number]
    t.same(times, times.toSorted((a, b) => a - b), 'in the order of time')
    t.ok(acceptedAt <= times[0]! && times[0]! >= 0 && times.at(-1)! <= json.duration)
    t.ok(outcome !== null && json.connections[outcome] > 0)
  }
  const of = (wanted: string) => connections.find(({ remotePort }) => portOf.get(remotePort as number) === wanted)
  const statesOf = (wanted: string) => of(wanted)?.states.map(([, state]) => state)
  t.same(statesOf('endless'), ['active'])
  t.match(of('endless'), { remoteAddress: host, outcome: 'cut', method: 'GET', route: '/endless/<script>alert(1)</script>' })
  t.same(statesOf('slow')?.slice(0, 2), ['active', 'idle'], 'it had said close, and waited for its peer')
  t.match(of('slow'), { method: 'GET', route: '/slow' })
  t.ok(of('slow')!.states[1]![0] >= 250)
  t.match(of('idle'), { method: null, route: null, outcome: 'half-closed' })
  t.same(statesOf('idle'), ['idle', 'lingering'])
  t.same(statesOf('silent'), ['new', 'lingering'])
  t.equal(connections.filter(({ states: [first] }) => first?.[1] === 'upgraded').length, 1, 'the WebSocket')
  t.notMatch(JSON.stringify(json) + page, 'secret')
  t.match(page, '/endless/&lt;script&gt;alert(1)&lt;/script&gt;')
  t.match(page, `<title>Drain of ${connections.length} connections`)

  const { json: json2 } = read('http2')
  t.match(json2.timeline.connections, [{ method: 'GET', route: '/slow' }])
  t.equal(json2.timeline.connections[0]?.states[0]?.[1], 'active')
  t.ok(json2.timeline.connections[0]!.states.some(([at, state]) => state === 'idle' && at >= 250), 'its stream has ended')
  t.match(json2.connections, { total: 1, cut: 0 })
})

t.test('after a second signal both files are complete as well', async t => {
  const { service, folder, read, ask } = await start(t, { shutdownDelay: 20_000 })
  await ask('/endless/')
  service.child.kill('SIGTERM')
  await service.message(({ type }) => type === 'draining')
  service.child.kill('SIGTERM')
  t.equal((await service.exited).code, 1)
  t.same(readdirSync(folder).sort(), ['http1.html', 'http1.json', 'http2.html', 'http2.json'])
  const { json, page } = read('http1')
  t.match(json.timeline.connections, [{ outcome: 'cut', route: '/endless/', endedAt: json.duration }])
  t.match(page, /<\/html>\n$/)
})

t.test('a folder that does not exist makes the registration fail', async t => {
  const app = Fastify()
  app.register(drain, { report: { file: join(t.testdir({}), 'missing', 'drain.json') } })
  await t.rejects(async () => { await app.ready() }, { code: 'FST_DRAIN_INVALID_OPTION', message: /report\.file.*missing cannot be used \(ENOENT\)/ })
  t.notOk(app.hasDecorator('drain'))
  await app.close()
})

t.test('a folder that is gone when the drain begins costs no request, and is told in the log', async t => {
  const folder = t.testdir({ reports: {} })
  const { app, listen, logged } = await testApp(t, { report: { file: join(folder, 'reports', 'drain.json') } })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)
  rmSync(join(folder, 'reports'), { recursive: true })
  client.socket.on('end', () => client.halfClose())
  const draining = app.drain.begin('test')
  client.write(request('/'))
  await client.until(/hello[^]*hello/)
  t.match(await draining, { requests: { served: 1 }, connections: { total: 1, cut: 0 } })
  t.equal(logged.filter(line => line.startsWith('drain: the report could not be written')).length, 1)
})

t.test('app.close() of an app that never listened writes a report of no connections', async t => {
  const folder = t.testdir({})
  const { app } = await testApp(t, { report: { file: join(folder, 'drain.json') } })
  await app.close()
  t.match(JSON.parse(readFileSync(join(folder, 'drain.json'), 'utf8')), { reason: 'app.close()', connections: { total: 0 }, timeline: { connections: [] } })
  t.match(readFileSync(join(folder, 'drain.html'), 'utf8'), 'There was none.')
})

t.test('of two apps with the same file the one that ends last has it', async t => {
  const file = join(t.testdir({}), 'drain.json')
  const apps = [await testApp(t, { report: { file } }), await testApp(t, { report: { file } })]
  for (const [i, { app }] of apps.entries()) await app.drain.begin(`app ${i}`)
  t.equal(JSON.parse(readFileSync(file, 'utf8')).reason, 'app 1')
})
