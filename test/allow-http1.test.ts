import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { eventually } from './helpers/app.ts'
import { servers } from './helpers/servers.ts'
import { leave, takes } from './helpers/wire.ts'

// A client of HTTP/1.1 has the same from a secure HTTP/2 server as from an https one, in steady state, too.
t.jobs = 4

for (const server of [servers.https, servers.allowHTTP1]) {
  const executed: string[] = []
  const routes = (app: FastifyInstance): void => {
    app.get('/:name', async ({ url }) => { executed.push(url); return 'hello' })
    // Node waits a second longer than it is told; 22 and later can be talked out of that. Fastify sets none for HTTP/2.
    Object.assign(app.server, { keepAliveTimeoutBuffer: 0, keepAliveTimeout: 200 })
  }

  t.test(`${server.name}: keepAliveTimeout closes by FIN, and a request that crosses it provokes no RST and is not executed`, { buffered: true }, async t => {
    const { app, to } = await server.start(t, {}, routes)
    const client = await server.client(t, to)
    t.match(await client.ask('/a').answer(), { status: 200, headers: { connection: 'keep-alive' } })
    await client.wire.raw.fin()
    t.ok(await takes(client.wire, client.prepare('/crossing').bytes), 'no RST')
    t.equal(app.drain.connections.lingering, 1)
    t.equal(await leave(client.wire), null)
    t.notOk(executed.includes('/crossing'))
  })

  t.test(`${server.name}: an answer to a request that said close is followed by FIN at once`, { buffered: true }, async t => {
    const { app, to } = await server.start(t, {}, routes)
    const client = await server.client(t, to)
    t.match(await client.ask('/a', { headers: { connection: 'close' } }).answer(), { headers: { connection: 'close' } })
    await client.wire.raw.fin()
    t.ok(await takes(client.wire, client.prepare('/behind').bytes), 'no RST')
    t.equal(app.drain.connections.lingering, 1)
    t.equal(await leave(client.wire), null)
    t.notOk(executed.includes('/behind'))
  })

  t.test(`${server.name}: what is no HTTP is answered by a 400 that can be read`, { buffered: true }, async t => {
    const { app, to } = await server.start(t, {}, routes)
    const { wire } = await server.client(t, to)
    wire.write('how do you do?\r\n\r\n')
    await wire.raw.fin()
    t.match(wire.received, /^HTTP\/1\.1 400 Bad Request\r\n/)
    t.ok(await takes(wire, 'more of the same'), 'no RST')
    t.equal(await leave(wire), null)
    await eventually(() => Object.values(app.drain.connections).every(count => count === 0), 'no connection is left')
  })

  t.test(`${server.name}: an unknown expectation is refused during a drain with 417 and close`, { buffered: true }, async t => {
    const { app, to } = await server.start(t, { idleGrace: 1000 }, routes)
    const client = await server.client(t, to)
    const closing = app.drain.begin('test')
    const refused = client.ask('/a', { headers: { expect: 'a-miracle' } })
    t.match(await refused.answer(), { status: 417, headers: { connection: 'close' } })
    t.equal(await leave(client.wire), null, 'no RST')
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
  })
}
