import t from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import http2, { type ServerHttp2Session } from 'node:http2'
import https from 'node:https'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { Connections } from '../../lib/connections.ts'
import { eventually } from '../helpers/app.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { rawClient, request } from '../helpers/raw-client.ts'
import { tlsClient } from '../helpers/tls-client.ts'
import { tlsOptions } from '../helpers/tls.ts'
import { plainEnv } from '../helpers/unit-env.ts'

interface Teardown { teardown (fn: () => unknown): void }

const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

function adopt (t: Teardown, server: Server) {
  const clock = new FakeClock()
  const outcomes: string[] = []
  const connections = new Connections(plainEnv(clock), {
    onLate () {},
    onServed () {},
    onTimedOut () {},
    onClosed: ({ outcome }) => { outcomes.push(String(outcome)) }
  })
  connections.adopt(server)
  t.teardown(() => connections.cut('destroy', () => {}))
  return { clock, connections, outcomes }
}

/** A plain server that hands every socket over; resolves with where it listens. */
async function handOver (t: Teardown, onSocket: (socket: Socket) => void) {
  const server = createServer({ allowHalfOpen: true }, onSocket)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

t.test('a socket that an HTTP server is given by hand is tracked and drained', async t => {
  const server = http.createServer((_request, answer) => { answer.end('hello') })
  const { clock, connections, outcomes } = adopt(t, server)
  const client = await rawClient(t, await handOver(t, socket => { server.emit('connection', socket) }))
  client.write(request('/'))
  await client.until(/hello/)
  t.strictSame(connections.counts(), { ...none, idle: 1 })
  connections.retire({ idleGrace: 100, closeSpread: 0, peerCloseTimeout: 0, lastCall: 1000, pingTimeout: 500 })
  await Promise.all([connections.leave().then(() => connections.close()), clock.pass(100)])
  await client.fin()
  client.halfClose()
  await connections.empty()
  t.same(outcomes, ['half-closed'])
})

t.test('a plain socket that an HTTPS server is given as a secure one is tracked', async t => {
  const server = https.createServer(tlsOptions, (_request, answer) => { answer.end('hello') })
  const { connections } = adopt(t, server)
  const client = await rawClient(t, await handOver(t, socket => { server.emit('secureConnection', socket) }))
  client.write(request('/'))
  await client.until(/hello/)
  t.strictSame(connections.counts(), { ...none, idle: 1 })
  client.halfClose()
  await connections.empty()
})

t.test('of TLS the handshake counts as new, what comes behind it by its requests, and it is closed politely', async t => {
  const server = https.createServer(tlsOptions, (_request, answer) => { answer.end('hello') })
  const { connections } = adopt(t, server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const to = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  const silent = await rawClient(t, to)
  await eventually(() => connections.size === 1, 'it came')
  t.strictSame(connections.counts(), { ...none, new: 1 })
  t.ok(connections.all()[0]?.isHandshaking)

  const client = await tlsClient(t, to)
  client.socket.write(request('/'))
  await client.until(/hello/)
  t.strictSame(connections.counts(), { ...none, new: 1, idle: 1 })
  client.socket.write(request('/', { headers: { connection: 'close' } }))
  await client.until(/close/)
  await client.raw.fin()
  t.strictSame(connections.counts(), { ...none, new: 1, lingering: 1 })
  silent.reset()
  await eventually(() => connections.size === 1, 'it is gone')
})

t.test('a peer that TLS has lost is told of, before any drain as well', async t => {
  const server = https.createServer(tlsOptions, (_request, answer) => { answer.end('hello') })
  const { connections, outcomes } = adopt(t, server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const client = await tlsClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  client.socket.write(request('/'))
  await client.until(/hello/)
  connections.all()[0]?.socket.destroy(Object.assign(new Error('lost'), { code: 'ETIMEDOUT' }))
  await connections.empty()
  t.same(outcomes, ['peer-lost'])
})

t.test('a socket that a server is given twice is counted once', async t => {
  const server = createServer()
  const { connections, outcomes } = adopt(t, server)
  connections.retire({ idleGrace: 100, closeSpread: 0, peerCloseTimeout: 0, lastCall: 1000, pingTimeout: 500 })
  const client = await rawClient(t, await handOver(t, socket => {
    socket.on('error', () => {}).resume()
    server.emit('connection', socket)
    server.emit('connection', socket)
  }))
  await eventually(() => connections.size === 1, 'it came')
  client.reset()
  await connections.empty()
  t.equal(outcomes.length, 1)
})

t.test('a session that comes without a connection is nobody\'s', async t => {
  const server = http2.createServer()
  const { connections } = adopt(t, server)
  server.emit('session', {} as ServerHttp2Session)
  t.equal(connections.size, 0)
})
