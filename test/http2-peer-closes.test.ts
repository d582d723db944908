import t from 'tap'
import { once } from 'node:events'
import { connect } from 'node:http2'
import type { FastifyServerOptions } from 'fastify'
import { deferred, testApp } from './helpers/app.ts'
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

t.test('h2c: a client that has said GOAWAY, and waits for its last answer, is not told of a later last stream', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0 }, { http2: true } as FastifyServerOptions)
  const called = deferred()
  const finish = deferred()
  app.get('/', async () => {
    called.resolve()
    await finish.promise
    return 'served'
  })
  const { port } = await listen()
  const session = connect(`http://127.0.0.1:${port}`)
  const errors: unknown[] = []
  session.on('error', error => errors.push(error))
  const [own] = await Promise.all([once(app.server, 'session'), once(session, 'connect')])
  const stream = session.request({ ':path': '/' })
  stream.on('error', error => errors.push(error))
  await called.promise
  session.close()
  await once(own[0], 'goaway')

  const drained = app.drain.begin()
  session.ping(() => finish.resolve())
  let body = ''
  for await (const chunk of stream) body += chunk
  t.equal(body, 'served')
  t.same(errors, [])
  await drained
})
