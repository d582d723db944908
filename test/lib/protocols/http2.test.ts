import t from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import http2, { type Http2Session, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { close, isStream, stateOf, watchSession } from '../../../lib/protocols/http2.ts'
import { eventually } from '../../helpers/app.ts'

async function connected (t: { teardown (fn: () => unknown): void }) {
  const server = http2.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const opened = once(server, 'session') as Promise<[ServerHttp2Session]>
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const [session] = await opened
  watchSession(session)
  const streams: ServerHttp2Stream[] = []
  session.on('stream', stream => { streams.push(stream) })
  t.teardown(() => {
    client.destroy()
    session.destroy()
    server.close()
  })
  return { client, session, streams }
}

t.test('a session is active as long as a stream is open', async t => {
  const { client, session, streams } = await connected(t)
  t.equal(stateOf(session), 'idle')
  const requests = [client.request({ ':path': '/a' }), client.request({ ':path': '/b' })]
  for (const request of requests) request.resume()
  await eventually(() => streams.length === 2, 'both streams were opened')
  t.equal(stateOf(session), 'active')
  streams[0]?.end('a')
  await eventually(() => streams[0]?.closed === true, 'one was closed')
  t.equal(stateOf(session), 'active')
  streams[1]?.end('b')
  await eventually(() => stateOf(session) === 'idle', 'the session was idle')
})

t.test('row 32: a stream that its client resets is counted out', async t => {
  const { client, session, streams } = await connected(t)
  const request = client.request({ ':path': '/' })
  request.on('error', () => {})
  await eventually(() => streams.length === 1, 'the stream was opened')
  request.close(http2.constants.NGHTTP2_CANCEL)
  await eventually(() => stateOf(session) === 'idle', 'the session was idle')
})

t.test('row 32: a session that breaks is in the state in which it was', async t => {
  const { client, session, streams } = await connected(t)
  client.on('error', () => {})
  client.request({ ':path': '/' }).on('error', () => {})
  await eventually(() => streams.length === 1, 'the stream was opened')
  const closed = once(streams[0]!, 'close').catch(() => {})
  streams[0]!.on('error', () => {})
  session.on('error', () => {}).destroy(new Error('the peer is lost'))
  await closed
  t.equal(stateOf(session), 'active')
})

t.test('a session that nobody has watched is idle', async t => {
  t.equal(stateOf({} as Http2Session), 'idle')
})

t.test('closing a session lets its open streams finish', async t => {
  const { client, session, streams } = await connected(t)
  const request = client.request({ ':path': '/' }).setEncoding('utf8')
  await eventually(() => streams.length === 1, 'the stream was opened')
  const goaway = once(client, 'goaway')
  close(session)
  t.equal((await goaway)[0], http2.constants.NGHTTP2_NO_ERROR)
  t.notOk(session.destroyed)
  let body = ''
  request.on('data', part => { body += part })
  streams[0]?.end('whole')
  await eventually(() => session.destroyed, 'the session was closed')
  await eventually(() => request.closed, 'the stream was closed')
  t.equal(body, 'whole')
})

t.test('answers on streams are told apart from those of HTTP/1.x', async t => {
  const answers: object[] = []
  const listener = (_request: unknown, answer: http.ServerResponse | http2.Http2ServerResponse): void => { answers.push(answer); answer.end() }
  const [server1, server2] = [http.createServer(listener), http2.createServer(listener)]
  for (const server of [server1, server2]) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => { server.close() })
  }
  const client = http2.connect(`http://127.0.0.1:${(server2.address() as AddressInfo).port}`)
  t.teardown(() => client.destroy())
  http.get({ host: '127.0.0.1', port: (server1.address() as AddressInfo).port, agent: false })
  await eventually(() => answers.length === 1, 'HTTP/1.x was answered')
  client.request({ ':path': '/' }).resume()
  await eventually(() => answers.length === 2, 'HTTP/2 was answered')
  t.same(answers.map(isStream), [false, true])
})
