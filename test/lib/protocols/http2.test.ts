import t from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import http2, { type Http2ServerRequest, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isStream, Sessions } from '../../../lib/protocols/http2.ts'
import { eventually } from '../../helpers/app.ts'

/** `isOurs: false`: nobody hears of its streams. */
async function connected (t: { teardown (fn: () => unknown): void }, { isOurs = true } = {}) {
  const streams: ServerHttp2Stream[] = []
  const sessions = new Sessions()
  const server = http2.createServer((request: Http2ServerRequest) => {
    if (isOurs) sessions.opened(request)
    streams.push(request.stream)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const opened = once(server, 'session') as Promise<[ServerHttp2Session]>
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const [session] = await opened
  const watched = sessions.add(session)
  t.teardown(() => {
    client.destroy()
    session.destroy()
    server.close()
  })
  return { client, session, sessions, watched, streams }
}

t.test('while nobody asks, few streams are remembered and nobody listens for their end', async t => {
  const [{ client, watched, streams }, bare] = await Promise.all([connected(t), connected(t, { isOurs: false })])
  for (let i = 1; i <= 40; i++) {
    for (const each of [client, bare.client]) each.request({ ':path': '/' }).on('error', () => {}).resume()
    await eventually(() => streams.length === i && bare.streams.length === i, 'both streams were opened')
    t.equal(streams.at(-1)!.listenerCount('close') - bare.streams.at(-1)!.listenerCount('close'), i === 32 ? 1 : 0, `stream ${i}`)
    streams.at(-1)!.destroy()
  }
  t.equal(watched.peak, 1)
  t.equal(watched.open, 0)
})

t.test('the most that a client has opened at once is known, also when they have closed before anybody asks', async t => {
  const { client, watched, streams } = await connected(t)
  for (const [count, peak] of [[5, 5], [3, 5], [8, 8], [20, 20], [1, 20]] as const) {
    for (let i = 0; i < count; i++) client.request({ ':path': '/' }).resume()
    await eventually(() => streams.length === count, 'they were opened')
    for (const stream of streams.splice(0)) {
      stream.respond()
      stream.end()
      await once(stream, 'close')
    }
    t.equal(watched.peak, peak, `${count} at once`)
  }
})

t.test('what has closed is forgotten without being asked for', async t => {
  const { client, sessions, streams } = await connected(t)
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const remembered: Array<WeakRef<object>> = []
  const { opened } = sessions
  sessions.opened = request => {
    remembered.push(new WeakRef(request))
    opened.call(sessions, request)
  }
  for (let i = 0; i < 100; i++) {
    client.request({ ':path': '/' }).resume()
    await eventually(() => streams.length === 1, 'the stream was opened')
    const stream = streams.pop() as ServerHttp2Stream
    stream.respond()
    stream.end()
    await once(stream, 'close')
  }
  await eventually(() => {
    collectGarbage()
    return remembered.filter(ref => ref.deref() !== undefined).length <= 32
  }, 'at most 32 are left')
})

t.test('from the beginning of a drain each stream is told at once', async t => {
  const { client, sessions, watched, streams } = await connected(t)
  client.request({ ':path': '/' }).resume()
  await eventually(() => streams.length === 1, 'the stream was opened')
  t.equal(watched.peak, 0)
  sessions.watch()
  t.equal(watched.peak, 1)
  for (let i = 2; i <= 50; i++) {
    client.request({ ':path': '/' }).resume()
    await eventually(() => streams.length === i, 'the stream was opened')
    t.equal(watched.peak, i)
  }
})

t.test('a change is told from the moment at which somebody listens', async t => {
  const { client, sessions, watched, streams } = await connected(t)
  const changes: string[] = []
  for (const path of ['/a', '/b']) client.request({ ':path': path }).resume()
  await eventually(() => streams.length === 2, 'both streams were opened')
  let served = 0
  sessions.watch()
  watched.onServed = () => { served++ }
  watched.onChange = change => { changes.push(`${change}: ${watched.open}`) }
  t.equal(watched.peak, 2)
  for (const stream of streams) stream.end('x')
  await eventually(() => watched.open === 0, 'both were closed')
  t.same(changes, ['closed: 1', 'closed: 0'])
  t.equal(served, 2)
})

for (const isWatched of [false, true]) {
  t.test(`a session is active as long as a stream is open, ${isWatched ? '' : 'not '}watched`, async t => {
    const { client, sessions, watched, streams } = await connected(t)
    if (isWatched) sessions.watch()
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
  const { client, session, sessions, watched, streams } = await connected(t)
  client.on('error', () => {})
  client.request({ ':path': '/' }).on('error', () => {})
  await eventually(() => streams.length === 1, 'the stream was opened')
  sessions.watch()
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
  const { client, sessions, watched, streams } = await connected(t)
  const seen: string[] = []
  let served = 0
  sessions.watch()
  watched.onServed = () => { served++ }
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
