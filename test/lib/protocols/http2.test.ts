import t from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { isStream, Session } from '../../../lib/protocols/http2.ts'
import { eventually } from '../../helpers/app.ts'

/** `isOurs: false`: a session as Node makes it. */
async function connected (t: { teardown (fn: () => unknown): void }, { isOurs = true } = {}) {
  const server = http2.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const opened = once(server, 'session') as Promise<[ServerHttp2Session]>
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const [session] = await opened
  const watched = isOurs ? new Session(session) : null as never
  const streams: ServerHttp2Stream[] = []
  session.on('stream', stream => { streams.push(stream) })
  t.teardown(() => {
    client.destroy()
    session.destroy()
    server.close()
  })
  return { client, session, watched, streams }
}

t.test('until a session is watched nobody listens for the end of its streams', async t => {
  const [{ client, streams }, bare] = await Promise.all([connected(t), connected(t, { isOurs: false })])
  for (const each of [client, bare.client]) each.request({ ':path': '/' }).on('error', () => {}).resume()
  await eventually(() => streams.length + bare.streams.length === 2, 'both streams were opened')
  t.equal(streams[0]!.listenerCount('close'), bare.streams[0]!.listenerCount('close'))
})

t.test('the most streams that were ever open are known, watched or not', async t => {
  const { client, watched, streams } = await connected(t)
  const open = async (count: number): Promise<void> => {
    const before = streams.length
    for (let i = 0; i < count; i++) client.request({ ':path': '/' }).resume()
    await eventually(() => streams.length === before + count, 'they were opened')
  }
  const end = async (): Promise<void> => {
    for (const stream of streams) if (!stream.writableEnded) stream.end('x')
    await eventually(() => watched.open === 0, 'they were closed')
  }
  for (const count of [1, 1, 1, 3, 2]) {
    await open(count)
    await end()
  }
  t.equal(watched.peak, 3)
  watched.watch(() => {})
  await open(5)
  t.equal(watched.peak, 5)
  await end()
})

t.test('watching begins with the streams that are open', async t => {
  const { client, watched, streams } = await connected(t)
  const changes: string[] = []
  const requests = [client.request({ ':path': '/a' }), client.request({ ':path': '/b' })]
  for (const request of requests) request.resume()
  await eventually(() => streams.length === 2, 'both streams were opened')
  let served = 0
  watched.watch(() => { served++ })
  watched.onChange = change => { changes.push(`${change}: ${watched.open}`) }
  t.equal(watched.peak, 2)
  for (const stream of streams) stream.end('x')
  await eventually(() => watched.open === 0, 'both were closed')
  t.same(changes, ['closed: 1', 'closed: 0'])
  t.equal(served, 2)
})

for (const isWatched of [false, true]) {
  t.test(`a session is active as long as a stream is open, ${isWatched ? '' : 'not '}watched`, async t => {
    const { client, watched, streams } = await connected(t)
    if (isWatched) watched.watch(() => {})
    t.equal(watched.state, 'idle')
    const requests = [client.request({ ':path': '/a' }), client.request({ ':path': '/b' })]
    for (const request of requests) request.resume()
    await eventually(() => streams.length === 2, 'both streams were opened')
    t.equal(watched.state, 'active')
    streams[0]?.end('a')
    await eventually(() => streams[0]?.closed === true, 'one was closed')
    t.equal(watched.state, 'active')
    streams[1]?.end('b')
    await eventually(() => watched.state === 'idle', 'the session was idle')
  })
}

t.test('row 32: a stream that its client resets is counted out', async t => {
  const { client, watched, streams } = await connected(t)
  const request = client.request({ ':path': '/' })
  request.on('error', () => {})
  await eventually(() => streams.length === 1, 'the stream was opened')
  request.close(http2.constants.NGHTTP2_CANCEL)
  await eventually(() => watched.state === 'idle', 'the session was idle')
})

t.test('row 32: a session that breaks is in the state in which it was', async t => {
  const { client, session, watched, streams } = await connected(t)
  client.on('error', () => {})
  client.request({ ':path': '/' }).on('error', () => {})
  await eventually(() => streams.length === 1, 'the stream was opened')
  watched.watch(() => {})
  const closed = once(streams[0]!, 'close').catch(() => {})
  streams[0]!.on('error', () => {})
  session.on('error', () => {}).destroy(new Error('the peer is lost'))
  await closed
  t.equal(watched.state, 'active')
})

t.test('the oldest open request is described, without its query', async t => {
  const { client, watched, streams } = await connected(t)
  t.same(watched.describe(), { method: null, route: null })
  t.notOk(watched.used)
  const requests = [client.request({ ':path': '/a?secret=1', ':method': 'POST' }), client.request({ ':path': '/b' })]
  for (const request of requests) request.resume()
  await eventually(() => streams.length === 2, 'both streams were opened')
  t.equal(watched.open, 2)
  t.ok(watched.used)
  t.same(watched.describe(), { method: 'POST', route: '/a' })
  for (const stream of streams) stream.end('x')
  requests[0]?.end()
  await eventually(() => watched.open === 0, 'both were closed')
})

t.test('a change is told when it can be seen; only streams that ended well were served', async t => {
  const { client, watched, streams } = await connected(t)
  const seen: string[] = []
  let served = 0
  watched.watch(() => { served++ })
  watched.onChange = change => { seen.push(`${change}: ${watched.open}`) }
  client.request({ ':path': '/' }).resume()
  await eventually(() => streams.length === 1, 'the stream was opened')
  streams[0]?.end('x')
  await eventually(() => watched.open === 0, 'it was closed')
  client.request({ ':path': '/' }).on('error', () => {}).close(http2.constants.NGHTTP2_CANCEL)
  await eventually(() => seen.length === 4, 'the second was closed')
  t.same(seen, ['opened: 1', 'closed: 0', 'opened: 1', 'closed: 0'])
  t.equal(served, 1)
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
