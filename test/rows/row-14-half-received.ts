import { eventually } from '../helpers/app.ts'
import type { Row, Tests } from '../helpers/rows.ts'
import { asHttp2 } from '../helpers/servers.ts'
import { leave } from '../helpers/wire.ts'

const body = 'sent in two parts'
const upload = { method: 'POST', body, headers: { 'content-type': 'text/plain' } }

const tests: Tests = {}

for (const [what, cut] of [['first bytes', 2], ['head', 20], ['body', -5]] as const) {
  tests[`half-received ${what}: completed within idleGrace, it is served`] = async (t, server) => {
    const { app, to } = await server.start(t, { idleGrace: 1500 }, app => app.post('/', async ({ body }) => body))
    const client = await server.client(t, to, { ignoresPing: true })
    const request = client.prepare('/', upload)
    client.wire.write(request.bytes.subarray(0, cut))
    await eventually(() => app.drain.connections.new === 0, 'it has begun to arrive')
    const closing = app.drain.begin('test')
    await eventually(() => app.drain.phase === 'draining', 'the grace runs')
    client.wire.write(request.bytes.subarray(cut))
    if (server.isHttp2) asHttp2(client).pong()
    t.match(await request.answer(), { status: 200, body })
    t.equal(await leave(client.wire), null, 'no RST')
    t.ok(client.isTold)
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
  }
}

tests['a half-received body that is completed after idleGrace is served'] = async (t, server) => {
  const { app, to } = await server.start(t, { idleGrace: 50 }, app => app.post('/', async ({ body }) => body))
  const [client, idle] = await Promise.all([server.client(t, to, { ignoresPing: true }), server.wire(t, to)])
  const request = client.prepare('/', upload)
  client.wire.write(request.bytes.subarray(0, -5))
  await eventually(() => app.drain.connections.active === 1, 'it has begun to arrive')
  const closing = app.drain.begin('test')
  t.equal(await leave(idle), null)
  client.wire.write(request.bytes.subarray(-5))
  if (server.isHttp2) asHttp2(client).pong()
  t.match(await request.answer(), { status: 200, body })
  t.equal(await leave(client.wire), null, 'no RST')
  t.match(await closing, { requests: { served: 1 }, connections: { total: 2, cut: 0, destroyed: 0 } })
}

tests['a half-received head that is never completed is bounded, and never executed'] = async (t, server) => {
  let executed = 0
  const { app, to } = await server.start(t, { idleGrace: 50, lingerTimeout: 100, hardStopAfter: 600 }, app => {
    app.post('/', async () => { executed++ })
  })
  const client = await server.client(t, to, { ignoresPing: true })
  client.wire.write(client.prepare('/', upload).bytes.subarray(0, 20))
  await eventually(() => app.drain.connections.new === 0, 'it has begun to arrive')
  const report = await app.drain.begin('test')
  t.ok(report.duration < 5000)
  t.equal(executed, 0)
  t.match(report, { requests: { served: 0 }, stragglers: { length: 1 } })
}

export default {
  number: 14,
  situation: 'half-received request line or headers',
  expected: 'finished and served, or headersTimeout',
  tests
} satisfies Row
