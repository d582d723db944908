import t from 'tap'
import { once } from 'node:events'
import { accepted, eventually, testApp } from './helpers/app.ts'
import { writerThread } from './helpers/http1-writer.ts'
import { answers, request } from './helpers/raw-client.ts'

const cases = [
  { what: 'GET', bytes: request('/'), body: 'hello' },
  { what: 'POST with its body', bytes: request('/', { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } }), body: '{"a":1}' }
]

for (const first of [request('/'), null]) {
  for (const { what, bytes, body } of cases) {
    const before = first === null ? 'without a request before' : 'that was idle'
    t.test(`row 2: http: a whole ${what} that nobody has read when the grace of a connection ${before} ends is served`, async t => {
      const { app, listen } = await testApp(t, { idleGrace: 500 })
      app.get('/', async () => 'hello')
      app.post('/', async ({ body }) => body)
      const { port } = await listen()
      const opened = accepted(app)
      const writer = await writerThread(t, { port, first, bytes })
      await opened

      const closing = app.drain.begin('test')
      await eventually(() => !app.server.listening, 'the listener is closed')
      await writer.writeWhileBlocked(600)

      const { received, error } = await writer.ended
      t.equal(error, null, 'no RST')
      const last = answers(received).at(-1)
      t.match(last, { status: 200, body })
      t.equal(last?.headers['connection'], 'close')
      const { requests, connections } = await closing
      t.equal(requests.served, 1)
      t.equal(connections.cut, 0)
    })
  }
}

t.test('row 2: http: a whole request that nobody has read when keepAliveTimeout ends is served, and keeps its connection', async t => {
  const { app, listen } = await testApp(t, {}, { keepAliveTimeout: 500 })
  // Node waits a second longer than it is told; 22 and later can be talked out of that.
  const adjustable = 'keepAliveTimeoutBuffer' in app.server
  if (adjustable) Object.assign(app.server, { keepAliveTimeoutBuffer: 0 })
  app.get('/', async () => 'hello')
  const { port } = await listen()
  const connection = once(app.server, 'connection')
  const writer = await writerThread(t, { port, first: request('/'), bytes: request('/') })
  const [socket] = await connection
  let timeouts = 0
  socket.on('timeout', () => { timeouts++ })

  await writer.writeWhileBlocked(adjustable ? 600 : 1600)
  await eventually(() => timeouts === 1, 'the loop sees the timeout before it sees the request')

  const { received, error } = await writer.ended
  t.equal(error, null, 'no RST')
  const all = answers(received)
  t.same(all.map(({ status }) => status), [200, 200])
  t.equal(all[1]?.headers['connection'], 'keep-alive')
})
