import t from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import http2, { type ClientHttp2Session, type Http2ServerRequest, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { isStream, Session } from '../../../lib/protocols/http2.ts'
import { eventually } from '../../helpers/app.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'

/** `lists: false`: this Node keeps no list of streams. */
async function connected (t: { teardown (fn: () => unknown): void }, { lists = true } = {}) {
  const streams: ServerHttp2Stream[] = []
  const server = http2.createServer((request: Http2ServerRequest) => { streams.push(request.stream) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const clock = new FakeClock()
  const opened = new Promise<Session>(resolve => {
    server.once('session', session => resolve(new Session(lists ? session : withoutList(session), clock)))
  })
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const watched = await opened
  const { session } = watched
  t.teardown(() => {
    client.destroy()
    session.destroy()
    server.close()
  })
  return { client, clock, session, watched, streams }
}

// What a Proxy lists of its own is nothing, and all the rest is the session's.
function withoutList (session: ServerHttp2Session): ServerHttp2Session {
  return new Proxy(session, {
    ownKeys: () => [],
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

function listOf (session: ServerHttp2Session): Map<number, ServerHttp2Stream> {
  const key = Object.getOwnPropertySymbols(session).find(({ description }) => description === 'state') as symbol
  return (session as unknown as Record<symbol, { streams: Map<number, ServerHttp2Stream> }>)[key]!.streams
}

async function requested (client: ClientHttp2Session, streams: ServerHttp2Stream[], count = 1): Promise<void> {
  const before = streams.length
  for (let i = 0; i < count; i++) client.request({ ':path': '/' }).on('error', () => {}).resume()
  await eventually(() => streams.length === before + count, 'they were opened')
}

async function answered (streams: ServerHttp2Stream[]): Promise<void> {
  for (const stream of streams.splice(0)) {
    stream.respond()
    stream.end()
    await once(stream, 'close')
  }
}

t.test('32 streams in a row are looked at, and the next ones after a second', async t => {
  const { client, clock, session, streams, watched } = await connected(t)
  const listeners = session.listenerCount('stream')
  for (let i = 1; i <= 31; i++) {
    await requested(client, streams)
    await answered(streams)
  }
  t.equal(session.listenerCount('stream'), listeners)
  await requested(client, streams)
  await answered(streams)
  t.equal(session.listenerCount('stream'), listeners - 1, 'nobody looks')
  await requested(client, streams, 5)
  await answered(streams)
  t.equal(watched.peak, 1)
  clock.advance(999)
  t.equal(session.listenerCount('stream'), listeners - 1, 'nobody looks yet')
  clock.advance(1)
  t.equal(session.listenerCount('stream'), listeners)
  await requested(client, streams, 5)
  t.equal(watched.peak, 5)
})

t.test('nothing is left of a session that closes between two looks', async t => {
  const { client, clock, session, streams } = await connected(t)
  await requested(client, streams, 32)
  t.equal(clock.timers, 1)
  const closed = once(session, 'close')
  client.destroy()
  await closed
  t.equal(clock.timers, 0)
})

t.test('a drain that begins between two looks watches', async t => {
  const { client, clock, watched, streams } = await connected(t)
  await requested(client, streams, 32)
  watched.watch()
  watched.watch()
  t.equal(clock.timers, 0)
  const changes: string[] = []
  watched.onChange = change => { changes.push(change) }
  await requested(client, streams)
  t.same(changes, ['opened'], 'once')
})

t.test('a stream that nobody has told of yet counts once', async t => {
  const { client, watched, session } = await connected(t)
  const changes: string[] = []
  const listed = new Promise<void>(resolve => {
    const streams = listOf(session)
    const { set } = streams
    const value = (id: number, stream: ServerHttp2Stream): unknown => {
      set.call(streams, id, stream)
      watched.watch()
      watched.onChange = change => { changes.push(change) }
      t.equal(watched.open, 1)
      t.ok(watched.used)
      t.same(watched.describe(), { method: null, route: null })
      resolve()
      return streams
    }
    Object.defineProperty(streams, 'set', { value })
  })
  client.request({ ':path': '/' }).resume()
  await listed
  await new Promise(resolve => setImmediate(resolve))
  t.equal(watched.open, 1)
  t.same(changes, [], 'it is no other one when Node tells of it')
})

t.test('where Node keeps no list, each stream is listened to', async t => {
  const { client, watched, streams } = await connected(t, { lists: false })
  t.notOk(watched.used)
  await requested(client, streams, 2)
  t.equal(watched.open, 2)
  t.equal(watched.peak, 2)
  t.same(watched.describe(), { method: 'GET', route: '/' })
  await answered(streams)
  t.equal(watched.open, 0)
  t.same(watched.describe(), { method: null, route: null })
})

t.test('the most that a client has opened at once is known, also when they have closed before anybody asks', async t => {
  const { client, watched, streams } = await connected(t)
  for (const [count, peak] of [[5, 5], [3, 5], [8, 8], [1, 8]] as const) {
    await requested(client, streams, count)
    await answered(streams)
    t.equal(watched.peak, peak, `${count} at once`)
  }
})

t.test('from the beginning of a drain each stream is told at once', async t => {
  const { client, watched, streams } = await connected(t)
  client.request({ ':path': '/' }).resume()
  await eventually(() => streams.length === 1, 'the stream was opened')
  watched.watch()
  t.equal(watched.peak, 1)
  for (let i = 2; i <= 50; i++) {
    client.request({ ':path': '/' }).resume()
    await eventually(() => streams.length === i, 'the stream was opened')
    t.equal(watched.peak, i)
  }
})

t.test('the open streams are known, watched or not, and who watches twice hears of each once', async t => {
  const { client, session, streams, watched } = await connected(t)
  let served = 0
  watched.onServed = () => { served++ }
  await requested(client, streams, 2)
  t.same(watched.streams, streams)
  const listeners = session.listenerCount('stream')
  watched.watch()
  watched.watch()
  t.equal(session.listenerCount('stream'), listeners, 'one takes the place of the other')
  t.same(watched.streams, streams)
  await answered(streams)
  t.same(watched.streams, [])
  t.equal(served, 2)
})

t.test('a change is told from the moment at which somebody listens', async t => {
  const { client, watched, streams } = await connected(t)
  const changes: string[] = []
  for (const path of ['/a', '/b']) client.request({ ':path': path }).resume()
  await eventually(() => streams.length === 2, 'both streams were opened')
  let served = 0
  watched.watch()
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
    const { client, watched, streams } = await connected(t)
    if (isWatched) watched.watch()
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
  watched.watch()
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
  watched.watch()
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

t.test('every request is told before anybody answers it, whatever event Node has for it', async t => {
  const server = http2.createServer()
  const log: string[] = []
  for (const event of ['request', 'connect', 'checkContinue', 'checkExpectation']) {
    server.on(event, (_request, answer) => {
      log.push(event)
      answer.end('hello')
    })
  }
  server.on('session', session => {
    const watched = new Session(session, new FakeClock())
    watched.onChange = change => { if (change === 'opened') log.push(`${watched.describe().method} ${watched.describe().route}`) }
    watched.watch()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(() => client.destroy())
  for (const [headers, ...expected] of [
    [{ ':path': '/a' }, 'GET /a', 'request'],
    [{ ':path': '/b', ':method': 'POST', expect: '100-continue' }, 'POST /b', 'checkContinue'],
    [{ ':path': '/c', ':method': 'POST', expect: 'more' }, 'POST /c', 'checkExpectation'],
    [{ ':authority': 'example.org:443', ':method': 'CONNECT' }, 'CONNECT null', 'connect']
  ] as const) {
    log.length = 0
    const stream = client.request(headers)
    stream.resume().end()
    await once(stream, 'close')
    t.same(log, expected)
  }
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
