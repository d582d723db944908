import t from 'tap'
import { once } from 'node:events'
import { connect } from 'node:http2'
import type { FastifyServerOptions } from 'fastify'
import { testApp } from './helpers/app.ts'
import { tlsOptions } from './helpers/tls.ts'

const servers = {
  h2c: { server: { http2: true }, scheme: 'http' },
  'secure h2': { server: { http2: true, https: tlsOptions }, scheme: 'https' }
}

for (const [name, { server, scheme }] of Object.entries(servers)) {
  t.test(`${name}: the FIN of a client that leaves at GOAWAY is seen at once`, async t => {
    const { app, listen } = await testApp(t, { idleGrace: 0, peerCloseTimeout: 60_000, hardStopAfter: 8000 }, server as FastifyServerOptions)
    app.get('/', async () => 'served')
    const { port } = await listen()
    const session = connect(`${scheme}://127.0.0.1:${port}`, { rejectUnauthorized: false })
    const stream = session.request({ ':path': '/' }).resume()
    await once(stream, 'end')

    const [report] = await Promise.all([app.drain.begin(), once(session, 'close')])
    t.match(report.connections, { total: 1, 'peer-closed': 1, cut: 0 })
  })
}
