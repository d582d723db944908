import t from 'tap'
import { once } from 'node:events'
import http, { type ServerResponse } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { type AddressInfo, type Server, type Socket } from 'node:net'
import tls, { TLSSocket } from 'node:tls'
import { addRequests, requestsOn, watchRequests, watchServer, type HttpServer, type ServerEvents } from '../../lib/server.ts'
import { eventually } from '../helpers/app.ts'
import { answers, rawClient, request } from '../helpers/raw-client.ts'
import { tlsOptions } from '../helpers/tls.ts'

interface Teardown { teardown (fn: () => unknown): void }

function watch (server: HttpServer, events: Partial<ServerEvents> = {}): string[] {
  const log: string[] = []
  watchServer(server, {
    opened: (_socket, handshake) => { log.push(handshake ? 'opened, handshake' : 'opened') },
    secured: () => { log.push('secured') },
    sessionOpened: () => { log.push('session') },
    upgraded: () => { log.push('upgraded') },
    timedOut: () => { log.push('timed out') },
    broken: () => { log.push('broken') },
    ...events
  })
  return log
}

async function listen (t: Teardown, server: Server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

t.test('a connection is announced before anybody else hears of it', async t => {
  const server = http.createServer((_request, answer) => { answer.end() })
  const log: string[] = []
  server.on('connection', () => { log.push('somebody else') })
  watch(server, { opened: () => { log.push('opened') } })
  const client = await rawClient(t, await listen(t, server))
  client.write(request('/'))
  await client.until(/200 OK/)
  t.same(log, ['opened', 'somebody else'])
})

for (const [name, server, last] of [
  ['https', https.createServer(tlsOptions, (_request, answer) => { answer.end('hello') }), 'secured'],
  ['secure http2', http2.createSecureServer(tlsOptions), 'session']
] as const) {
  t.test(`of ${name} the raw socket is announced first, then the TLSSocket on it`, async t => {
    const sockets: Socket[] = []
    const log = watch(server, { secured: socket => { sockets.push(socket); log.push('secured') } })
    const ALPNProtocols = [name === 'https' ? 'http/1.1' : 'h2']
    const client = tls.connect({ ...await listen(t, server), rejectUnauthorized: false, ALPNProtocols })
    t.teardown(() => client.destroy())
    await once(client, 'secureConnect')
    await eventually(() => log.includes(last), last)
    t.same(log, ['opened, handshake', 'secured', 'session'].slice(0, name === 'https' ? 2 : 3))
    t.ok(sockets[0] instanceof TLSSocket)
  })
}

t.test('of h2c the socket is announced before the session that Node makes of it', async t => {
  const server = http2.createServer()
  const log = watch(server)
  const client = http2.connect(`http://127.0.0.1:${(await listen(t, server)).port}`)
  t.teardown(() => client.destroy())
  await once(client, 'remoteSettings')
  t.same(log, ['opened', 'session'])
  t.notOk('httpAllowHalfOpen' in server)
})

t.test('a timeout is announced, and does not destroy the socket', async t => {
  const server = http.createServer((_request, answer) => { answer.end('hello') })
  server.keepAliveTimeout = 1
  const log = watch(server)
  const client = await rawClient(t, await listen(t, server))
  client.write(request('/'))
  await client.until(/hello/)
  await eventually(() => log.includes('timed out'), 'the timeout was announced')
  t.same(log, ['opened', 'timed out'])
  t.notOk(client.sawFin)
})

t.test('a timeout that somebody else decides about is left to them', async t => {
  const server = http.createServer()
  const log = watch(server)
  let theirs = 0
  server.on('timeout', () => { theirs++ })
  server.timeout = 50
  await rawClient(t, await listen(t, server))
  await once(server, 'timeout')
  t.equal(theirs, 1)
  t.same(log, ['opened'])
})

t.test('a broken request is announced before it is answered', async t => {
  const server = http.createServer()
  const log: string[] = []
  server.on('clientError', (_error, socket) => { log.push('answered'); socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') })
  watch(server, { broken: () => { log.push('broken') } })
  const client = await rawClient(t, await listen(t, server))
  client.write('rubbish\r\n\r\n')
  await client.until(/400/)
  t.same(log, ['broken', 'answered'])
})

t.test('where nobody answers broken requests Node does, as before', async t => {
  const server = http.createServer()
  const log = watch(server)
  t.equal(server.listenerCount('clientError'), 0)
  const client = await rawClient(t, await listen(t, server))
  client.write('rubbish\r\n\r\n')
  await client.until(/^HTTP\/1.1 400 Bad Request/)
  t.same(log, ['opened'])
})

t.test('with maxRequestsPerSocket the last answer is one that Node closes after', async t => {
  const server = http.createServer()
  server.maxRequestsPerSocket = 2
  const keptAlive: boolean[] = []
  watch(server)
  server.on('request', (_request, answer: ServerResponse) => { keptAlive.push(answer.shouldKeepAlive); answer.end() })
  const client = await rawClient(t, await listen(t, server))
  client.write(request('/'))
  await client.until(/200 OK/)
  client.write(request('/'))
  await client.fin()
  t.same(keptAlive, [true, false])
  t.same(answers(client.received).map(({ headers }) => headers['connection']), ['keep-alive', 'close'])
})

t.test('every request is seen before anybody can answer it', async t => {
  const server = http.createServer((_request, answer) => { log.push('answered'); answer.end() })
  const log: string[] = []
  watchRequests(server, request => { log.push(`request ${request.url}`) })
  const client = await rawClient(t, await listen(t, server))
  client.write(request('/a') + request('/b', { method: 'POST', body: 'x' }))
  await client.until(/200 OK[^]*200 OK/)
  t.same(log, ['request /a', 'answered', 'request /b', 'answered'])
})

t.test('row 5: a request with Expect: 100-continue is seen, whoever decides about it', async t => {
  for (const decided of [true, false]) {
    const server = http.createServer((_request, answer) => { answer.end('done') })
    const log: string[] = []
    if (decided) {
      server.on('checkContinue', (request, answer) => { answer.writeContinue(); server.emit('request', request, answer) })
    }
    watchRequests(server, ({ url }) => { log.push(String(url)) })
    t.equal(server.listenerCount('checkContinue'), decided ? 2 : 0)
    const client = await rawClient(t, await listen(t, server))
    client.write(request('/upload', { method: 'POST', headers: { expect: '100-continue', 'content-length': '1' } }))
    await client.until(/100 Continue/)
    client.write('x')
    await client.until(/done/)
    t.ok(log.includes('/upload'))
  }
})

t.test('an expectation that nobody knows is refused as Node does it, and seen', async t => {
  const server = http.createServer()
  const seen: string[] = []
  watchRequests(server, ({ url }, answer) => { seen.push(String(url)); answer.shouldKeepAlive = false })
  const client = await rawClient(t, await listen(t, server))
  client.write(request('/odd', { headers: { expect: 'the-unexpected' } }))
  await client.fin()
  t.same(seen, ['/odd'])
  t.match(answers(client.received), [{ status: 417, headers: { connection: 'close' } }])
})

t.test('an expectation that somebody else decides about is left to them', async t => {
  const server = http.createServer()
  const seen: string[] = []
  server.on('checkExpectation', (_request, answer) => { answer.writeHead(200); answer.end('fine') })
  watchRequests(server, ({ url }) => { seen.push(String(url)) })
  const client = await rawClient(t, await listen(t, server))
  client.write(request('/odd', { headers: { expect: 'the-unexpected' } }))
  await client.until(/fine/)
  t.same(seen, ['/odd'])
  t.equal(answers(client.received)[0]?.status, 200)
})

t.test('a server without HTTP/1.x is left alone otherwise', async t => {
  const server = http2.createServer()
  watch(server)
  watchRequests(server, () => {})
  for (const event of ['timeout', 'clientError', 'checkExpectation', 'checkContinue']) {
    t.equal(server.listenerCount(event), http2.createServer().listenerCount(event), event)
  }
})

t.test('requests are counted on each connection where they are limited', async t => {
  const counts: number[] = []
  const server = http.createServer((request, answer) => {
    counts.push(requestsOn(request.socket))
    answer.end('hello')
  })
  server.maxRequestsPerSocket = 3
  watch(server)
  const at = await listen(t, server)
  const client = await rawClient(t, at)
  client.write(request('/') + request('/'))
  await client.until(/hello[^]*hello/)
  const other = await rawClient(t, at)
  other.write(request('/'))
  await other.until(/hello/)
  t.same(counts, [1, 2, 1])
})

t.test('requests that a connection has brought elsewhere count, too, and the last one says close', async t => {
  const server = http.createServer((_request, answer) => { answer.end('hello') })
  server.maxRequestsPerSocket = 4
  watch(server, { opened: socket => { addRequests(socket, 2) } })
  const client = await rawClient(t, await listen(t, server))
  client.write(request('/'))
  await client.until(/hello/)
  client.write(request('/'))
  await client.fin()
  t.same(answers(client.received).map(({ headers }) => headers['connection']), ['keep-alive', 'close'])
})

t.test('where requests are not limited nobody counts them', async t => {
  for (const limit of [0, undefined]) {
    const counts: number[] = []
    const server = http.createServer((request, answer) => {
      counts.push(requestsOn(request.socket))
      answer.end('hello')
    })
    if (limit !== undefined) server.maxRequestsPerSocket = limit
    watch(server)
    const client = await rawClient(t, await listen(t, server))
    client.write(request('/'))
    await client.until(/hello/)
    t.same(counts, [0])
  }
})

t.test('whoever watches requests can stop', async t => {
  const server = http.createServer((_request, answer) => { answer.end('hello') })
  watch(server)
  const seen: Array<string | undefined> = []
  const stop = watchRequests(server, ({ url }) => { seen.push(url) })
  const client = await rawClient(t, await listen(t, server))
  client.write(request('/first'))
  await client.until(/hello/)
  stop()
  client.write(request('/second') + request('/third', { headers: { expect: 'the impossible' } }))
  await client.until(/417/)
  t.same(seen, ['/first'])
})
