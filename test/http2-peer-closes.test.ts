import t from 'tap'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:http2'
import type { FastifyServerOptions } from 'fastify'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { tlsOptions } from './helpers/tls.ts'

t.test('h2c: the FIN of a client that leaves at GOAWAY is seen at once', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 0, peerCloseTimeout: 60_000, hardStopAfter: 8000 }, { http2: true } as FastifyServerOptions)
  app.get('/', async () => 'served')
  const { port } = await listen()
  const session = connect(`http://127.0.0.1:${port}`)
  const stream = session.request({ ':path': '/' }).resume()
  await once(stream, 'end')

  const [report] = await Promise.all([app.drain.begin(), once(session, 'close')])
  t.match(report.connections, { total: 1, 'peer-closed': 1, cut: 0 })
})

for (const [name, { server, scheme }] of Object.entries({
  h2c: { server: { http2: true }, scheme: 'http' },
  'secure h2': { server: { http2: true, https: tlsOptions }, scheme: 'https' }
})) {
  t.test(`${name}: clients that leave at GOAWAY close first, and TIME_WAIT is theirs`, { skip: process.platform !== 'linux' && 'ss (Debian package iproute2) is of Linux' }, async t => {
    const { app, listen } = await testApp(t, { idleGrace: 0 }, server as FastifyServerOptions)
    const finish = deferred()
    app.get('/', () => finish.promise)
    const { port } = await listen()
    const sessions = Array.from({ length: 20 }, () => connect(`${scheme}://127.0.0.1:${port}`, { rejectUnauthorized: false }))
    const ended = sessions.map(session => once(session.request({ ':path': '/' }).resume(), 'end'))
    await eventually(() => app.drain.connections.streams === sessions.length, 'all are busy')
    const draining = app.drain.begin()
    finish.resolve()
    await Promise.all(ended)
    await draining
    const { stdout } = spawnSync('ss', ['-tanH', 'state', 'time-wait', `sport = :${port}`], { encoding: 'utf8' })
    t.equal(stdout, '')
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
