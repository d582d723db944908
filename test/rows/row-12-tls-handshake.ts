import { eventually } from '../helpers/app.ts'
import { http1Client } from '../helpers/http1-client.ts'
import { http2Client } from '../helpers/http2-client.ts'
import { rawClient } from '../helpers/raw-client.ts'
import type { Row, Tests } from '../helpers/rows.ts'
import type { Client, Server } from '../helpers/servers.ts'
import { leave, secureWire, type SecureWire, type To } from '../helpers/wire.ts'

const both = ['TLSv1.2', 'TLSv1.3'] as const
const tests: Tests = {}

/** A handshake that stops after so many flights of the client; the server has answered them, if any. */
async function stopped (t: { teardown (fn: () => unknown): void }, server: Server, to: To, version: typeof both[number], flights: number): Promise<SecureWire> {
  const wire = await secureWire(t, to, {
    flights, minVersion: version, maxVersion: version, ALPNProtocols: [server.isHttp2 ? 'h2' : 'http/1.1']
  })
  if (flights > 0) await wire.raw.until(text => text.length > 0)
  return wire
}

function clientOn (server: Server, wire: SecureWire): Client {
  return server.isHttp2 ? http2Client(wire) : http1Client(wire)
}

for (const version of both) {
  for (const flights of [0, 1]) {
    const when = `${version}: a handshake ${flights === 0 ? 'that has not begun' : 'that waits for the client’s second flight'}`

    tests[`${when} and never goes on is bounded`] = async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 50, lingerTimeout: 100 })
      const wire = await stopped(t, server, to, version, flights)
      await eventually(() => app.drain.connections.new === 1, 'it was accepted')
      const report = await app.drain.begin('test')
      t.match(report.connections, { total: 1, cut: 0 })
      t.same(report.phases.map(({ phase }) => phase), ['lame-duck', 'draining', 'closed'])
      t.equal(wire.raw.sawFin, true)
    }

    tests[`${when} and ends within the grace brings its request`] = async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 1500 })
      const wire = await stopped(t, server, to, version, flights)
      await eventually(() => app.drain.connections.new === 1, 'it was accepted')
      const closing = app.drain.begin('test')
      await eventually(() => app.drain.phase === 'draining', 'the grace runs')
      wire.release()
      await wire.secured
      const client = clientOn(server, wire)
      t.match(await client.ask('/').answer(), { status: 200, body: 'hello' })
      t.equal(await leave(wire), null, 'no RST')
      t.ok(client.isTold)
      t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0 } })
    }

    tests[`${when} and goes on after our FIN does no harm, and nothing is executed`] = async (t, server) => {
      let executed = 0
      const { app, to } = await server.start(t, { idleGrace: 50, lingerTimeout: 300 }, app => app.get('/', async () => `hello ${++executed}`))
      const wire = await stopped(t, server, to, version, flights)
      await eventually(() => app.drain.connections.new === 1, 'it was accepted')
      const closing = app.drain.begin('test')
      await wire.raw.fin()
      // It is sent as soon as the client takes the handshake for done, or never.
      clientOn(server, wire).ask('/')
      wire.release()
      const { connections, duration } = await closing
      t.match(connections, { total: 1, cut: 0 })
      t.ok(duration < 8000, 'not only the deadline ends it')
      t.equal(executed, 0)
    }
  }
}

tests['a handshake that stops in the middle of its first flight is bounded, and so is what follows our FIN'] = async (t, server) => {
  const { app, to } = await server.start(t, { idleGrace: 50, lingerTimeout: 200 })
  // A ClientHello that is longer than what comes.
  const half = Buffer.from('1603010200010001fc0303' + '00'.repeat(20), 'hex')
  const clients = await Promise.all([rawClient(t, to), rawClient(t, to)])
  for (const client of clients) client.write(half)
  await eventually(() => app.drain.connections.new === 2, 'both were accepted')
  const closing = app.drain.begin('test')
  await Promise.all(clients.map(client => client.fin()))
  clients[0]?.write('rubbish')
  const { connections, duration } = await closing
  t.match(connections, { total: 2, cut: 0 })
  t.ok(duration < 8000, 'not only the deadline ends it')
}

tests['at the deadline a handshake in progress is reset'] = async (t, server) => {
  const { app, to } = await server.start(t, { idleGrace: 50, lingerTimeout: 5000, hardStopAfter: 300, hardStop: 'reset' })
  const wire = await stopped(t, server, to, 'TLSv1.3', 1)
  await eventually(() => app.drain.connections.new === 1, 'it was accepted')
  const { connections } = await app.drain.begin('test')
  t.match(connections, { total: 1, cut: 1 })
  // Our FIN came first: then a write shows that the connection is gone.
  await eventually(() => { wire.raw.write('?'); return wire.raw.error !== null }, 'the connection is reset')
}

export default {
  number: 12,
  situation: 'TLS handshake in progress',
  expected: 'bounded, no crash',
  notOn: { http: 'there is no TLS', h2c: 'there is no TLS' },
  tests
} satisfies Row
