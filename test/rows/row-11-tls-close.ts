import type { SecureVersion } from 'node:tls'
import { deferred, eventually } from '../helpers/app.ts'
import { http1Client } from '../helpers/http1-client.ts'
import { http2Client } from '../helpers/http2-client.ts'
import type { Row, Tests } from '../helpers/rows.ts'
import type { Client, Server, SecureWire } from '../helpers/servers.ts'
import { brokenBy, isAlert, leave, recordsOf, type To } from '../helpers/wire.ts'

const both = ['TLSv1.2', 'TLSv1.3'] as const
const tests: Tests = {}
const https: Tests = {}

interface TlsClient extends Client { wire: SecureWire }

/** A client that speaks this version of TLS, and has been answered. */
async function answeredClient (t: { teardown (fn: () => unknown): void }, server: Server, to: To, version: SecureVersion, withoutFin = false): Promise<TlsClient> {
  const wire = await server.wire(t, to, { minVersion: version, maxVersion: version, withoutFin })
  const client = server.isHttp2 ? http2Client(wire) : http1Client(wire)
  await client.ask('/').answer()
  return client as TlsClient
}

for (const version of both) {
  tests[`${version}: an idle connection gets close_notify and FIN after the grace, and the drain ends with its own`] = async (t, server) => {
    const { app, to } = await server.start(t)
    const { wire } = await answeredClient(t, server, to, version)
    const closing = app.drain.begin('test')
    await wire.raw.fin()
    const last = recordsOf(wire.raw).at(-1)
    t.ok(last !== undefined && isAlert(last), 'close_notify is the last record')
    await eventually(() => wire.sawEnd, 'close_notify was understood')
    wire.end()
    t.match(await closing, { connections: { total: 1, 'half-closed': 1 }, stragglers: [] })
    t.equal(await wire.raw.closed(), null, 'no RST')
  }

  tests[`${version}: a peer that never answers close_notify is closed at lingerTimeout`] = async (t, server) => {
    const { app, to } = await server.start(t, { lingerTimeout: 100 })
    const { wire } = await answeredClient(t, server, to, version)
    t.match(await app.drain.begin('test'), {
      connections: { total: 1, 'timed-out': 1, cut: 0 },
      stragglers: [{ remoteAddress: '127.0.0.1', state: 'lingering', outcome: 'timed-out' }]
    })
    t.equal(wire.raw.error, null)
  }

  tests[`${version}: a peer that closes by FIN alone, without close_notify, is no error`] = async (t, server) => {
    const { app, to } = await server.start(t)
    const { wire } = await answeredClient(t, server, to, version)
    const closing = app.drain.begin('test')
    await wire.raw.fin()
    wire.raw.halfClose()
    t.match(await closing, { connections: { total: 1, 'half-closed': 1 }, stragglers: [] })
    t.equal(await wire.raw.closed(), null, 'no RST')
  }

  tests[`${version}: what comes after our FIN is discarded without RST, and not executed`] = async (t, server) => {
    let executed = 0
    const { app, to } = await server.start(t, {}, app => app.get('/', async () => `hello ${++executed}`))
    const client = await answeredClient(t, server, to, version)
    const { wire } = client
    const closing = app.drain.begin('test')
    await wire.raw.fin()
    for (let i = 0; i < 100; i++) wire.write(client.prepare('/').bytes)
    wire.end()
    t.match(await closing, { connections: { total: 1, 'half-closed': 1 } })
    t.equal(await wire.raw.closed(), null, 'no RST')
    t.equal(executed, 1)
  }

  const rubbish: Record<string, Buffer> = {
    'a truncated record': Buffer.from('1703030400616263', 'hex'),
    'a record that was tampered with': Buffer.from('1703030020' + '00'.repeat(32), 'hex'),
    'no TLS at all': Buffer.from('GET / HTTP/1.1\r\nhost: test\r\n\r\n')
  }

  for (const [what, bytes] of Object.entries(rubbish)) {
    tests[`${version}: ${what} before the drain ends its connection, and nothing else`] = async (t, server) => {
      const { app, to } = await server.start(t)
      const [broken, other] = await Promise.all([answeredClient(t, server, to, version), answeredClient(t, server, to, version)])
      broken.wire.raw.write(bytes)
      broken.wire.raw.halfClose()
      await broken.wire.raw.closed()
      t.match(await other.ask('/').answer(), { status: 200 })
      await eventually(() => app.drain.connections.idle + app.drain.connections.new === 1, 'one is left')
      const closing = app.drain.begin('test')
      t.equal(await leave(other.wire), null)
      t.match(await closing, { connections: { total: 1, 'half-closed': 1 } })
    }

    tests[`${version}: ${what} while we linger is bounded`] = async (t, server) => {
      const { app, to } = await server.start(t, { lingerTimeout: 150 })
      const { wire } = await answeredClient(t, server, to, version)
      const closing = app.drain.begin('test')
      await wire.raw.fin()
      wire.raw.write(bytes)
      const { connections } = await closing
      t.match(connections, { total: 1, cut: 0 })
      t.ok((app.drain.report?.duration ?? Infinity) < 8000, 'not only the deadline ends it')
    }

    tests[`${version}: ${what} after the peer’s close_notify is bounded`] = async (t, server) => {
      const { app, to } = await server.start(t, { lingerTimeout: 150 })
      const { wire } = await answeredClient(t, server, to, version, true)
      const closing = app.drain.begin('test')
      wire.end()
      wire.socket.once('finish', () => wire.raw.write(bytes))
      const { connections, duration } = await closing
      t.match(connections, { total: 1, cut: 0 })
      t.ok(duration < 8000, 'not only the deadline ends it')
    }
  }

  tests[`${version}: at the deadline the raw socket is reset, with a stream of data under way, too`] = async (t, server) => {
    const { app, to } = await server.start(t, { hardStopAfter: 400, hardStop: 'reset' }, app => {
      app.get('/', async () => 'hello')
      app.get('/endless', (_request, reply) => {
        reply.hijack().raw.writeHead(200)
        const more = setInterval(() => reply.raw.write('x'.repeat(1000)), 5)
        reply.raw.once('close', () => clearInterval(more))
      })
    })
    const client = await answeredClient(t, server, to, version)
    const endless = client.ask('/endless')
    await client.wire.until(() => endless.body.length > 1000, 'data')
    const closing = app.drain.begin('test')
    t.match(await brokenBy(client.wire), /^(ECONNRESET|EPIPE)$/)
    t.match(await closing, { connections: { total: 1, cut: 1 } })
  }
}

https['TLSv1.2: a client that renegotiates while its answer is pending gets it'] = async (t, server) => {
  const answer = deferred<string>()
  const { app, to } = await server.start(t, {}, app => {
    app.get('/', async () => 'hello')
    app.get('/late', () => answer.promise)
  })
  const client = await answeredClient(t, server, to, 'TLSv1.2')
  const late = client.ask('/late')
  await eventually(() => app.drain.connections.active === 1, 'it is under way')
  const closing = app.drain.begin('test')
  await new Promise<void>((resolve, reject) => {
    client.wire.socket.renegotiate({ rejectUnauthorized: false }, error => error === null ? resolve() : reject(error))
  })
  answer.resolve('at last')
  t.match(await late.answer(), { status: 200, body: 'at last' })
  t.equal(await leave(client.wire), null, 'no RST')
  t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0 } })
}

https['TLSv1.2: a client that renegotiates again and again is cut off by Node, and nothing else happens'] = async (t, server) => {
  const { app, to } = await server.start(t, { idleGrace: 5000 })
  const client = await answeredClient(t, server, to, 'TLSv1.2')
  const closing = app.drain.begin('test')
  for (let i = 0; i < 5 && !client.wire.raw.socket.destroyed; i++) {
    await Promise.race([
      new Promise(resolve => { client.wire.socket.renegotiate({ rejectUnauthorized: false }, resolve) }),
      client.wire.raw.closed(),
      client.wire.raw.fin().catch(() => {})
    ])
  }
  client.wire.raw.halfClose()
  t.match(await closing, { connections: { total: 1, cut: 0 } })
}

export default {
  number: 11,
  situation: 'TLS: close_notify, then FIN; peer never answers',
  expected: 'closed without waiting for ever',
  notOn: { http: 'there is no TLS', h2c: 'there is no TLS' },
  tests,
  // RFC 9113 section 9.2.1 forbids renegotiation.
  only: { https }
} satisfies Row
