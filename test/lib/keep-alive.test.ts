import t from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, Socket, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keepAlive, missingKeepAlive } from '../../lib/keep-alive.ts'
import { descriptorOf } from '../../lib/os/descriptor.ts'
import type { Native } from '../../lib/os/native.ts'
import { Sockets, type KeepAliveOptions } from '../../lib/os/sockets.ts'
import { tlsOptions } from '../helpers/tls.ts'
import { keepAliveOf, native, nativeWith, refused, skip } from '../helpers/unit-native.ts'

interface Teardown { teardown (fn: () => unknown): void }

const options = { idle: 42_000, interval: 7000, count: 5 }
const tuned = { on: 1, idle: 42, interval: 7, count: 5, userTimeout: 0 }

// Before Node 24.21 the interval and the count are those of libuv.
const nodeTakesAll = Socket.prototype.setKeepAlive.length >= 4
const byNode = nodeTakesAll ? tuned : { ...tuned, interval: 1, count: 10 }

const kinds: Array<[name: string, create: () => Server]> = [
  ['net', () => createServer()],
  ['http', () => http.createServer()],
  ['https', () => https.createServer(tlsOptions)],
  ['http2', () => http2.createServer()],
  ['secure http2', () => http2.createSecureServer(tlsOptions)]
]

async function listen (t: Teardown, server: Server, { at = { port: 0, host: '127.0.0.1' } as object, sockets = new Sockets(native), given = options as KeepAliveOptions } = {}): Promise<unknown[]> {
  const errors: unknown[] = []
  server.prependOnceListener('listening', () => keepAlive(server, given, sockets, error => errors.push(error)))
  await once(server.listen(at), 'listening')
  t.teardown(() => server.close())
  return errors
}

/** The server's end of a new connection. */
async function accepted (t: Teardown, server: Server): Promise<Socket> {
  const connected = once(server, 'connection') as Promise<[Socket]>
  const at = server.address() as AddressInfo | string
  const client = typeof at === 'string' ? connect(at) : connect(at.port, at.address)
  t.teardown(() => client.destroy())
  const [socket] = await connected
  t.teardown(() => socket.destroy())
  return socket
}

for (const [name, create] of kinds) {
  t.test(`what a server of ${name} accepts has the keepalive of its listener`, { skip }, async t => {
    const server = create()
    const errors = await listen(t, server)
    t.same(keepAliveOf(server), tuned)
    t.equal(server.listenerCount('connection'), create().listenerCount('connection'), 'nothing is done per connection')
    t.same(keepAliveOf(await accepted(t, server)), tuned)
    t.same(errors, [])
  })

  t.test(`without system calls Node sets what it can on what a server of ${name} accepts`, { skip }, async t => {
    const server = create()
    const errors = await listen(t, server, { sockets: new Sockets(null) })
    t.equal(keepAliveOf(server).on, 0)
    t.same(keepAliveOf(await accepted(t, server)), byNode)
    t.same(errors, [])
  })
}

t.test('keepalive that the user has set for a server of http does not take ours away', { skip }, async t => {
  const server = http.createServer({ keepAlive: true, keepAliveInitialDelay: 99_000 })
  await listen(t, server)
  t.same(keepAliveOf(await accepted(t, server)), tuned)
})

t.test('userTimeout is set on the listener, too', { skip }, async t => {
  const server = createServer()
  await listen(t, server, { given: { ...options, userTimeout: 30_000 } })
  t.same(keepAliveOf(await accepted(t, server)), { ...tuned, userTimeout: 30_000 })
})

t.test('where sockets do not inherit from their listener each is tuned', { skip }, async t => {
  const server = createServer()
  await listen(t, server, { sockets: new Sockets(nativeWith({ platform: { ...native.platform, inherits: false } })) })
  t.equal(keepAliveOf(server).on, 0)
  t.same(keepAliveOf(await accepted(t, server)), tuned)
  t.same(keepAliveOf(await accepted(t, server)), tuned)
})

t.test('a Unix socket is left alone', { skip }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const sockets of [new Sockets(native), new Sockets(null)]) {
    const server = http.createServer()
    const errors = await listen(t, server, { at: { path: join(folder, `socket${server.listenerCount('connection')}${sockets.inherits}`) }, sockets })
    await accepted(t, server)
    t.same(errors, [])
    t.equal(native.getInt(descriptorOf(server) as number, 'SO_KEEPALIVE'), 0)
    t.equal(server.listenerCount('connection'), 1, 'nothing is done per connection')
  }
})

t.test('connections that came before the listener had its options are tuned one by one, and only they', { skip }, async t => {
  const server = createServer()
  const fds = new Map<number, ReturnType<typeof keepAliveOf>>()
  const two = new Promise<void>(resolve => {
    server.on('connection', socket => {
      fds.set(socket.remotePort as number, keepAliveOf(socket))
      t.teardown(() => socket.destroy())
      if (fds.size === 2) resolve()
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  for (let i = 0; i < 2; i++) {
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    t.teardown(() => client.destroy())
  }
  await new Promise<void>(resolve => { process.nextTick(resolve) })
  const sockets = new Sockets(native)
  // The kernel shakes hands while our event loop stands still.
  for (let i = 0; i < 1000 && sockets.waiting(server) !== 2; i++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  const before = server.listenerCount('connection')
  keepAlive(server, options, sockets, error => t.fail(String(error)))
  t.equal(server.listenerCount('connection'), before + 1)
  await two
  t.same([...fds.values()], [tuned, tuned])
  t.equal(server.listenerCount('connection'), before, 'nothing is done per connection any more')
  t.same(keepAliveOf(await accepted(t, server)), tuned)
})

t.test('where nobody knows who waits to be accepted the listener is tuned, and nothing is done per connection', { skip }, async t => {
  const server = createServer()
  const errors = await listen(t, server, { sockets: new Sockets(nativeWith({ has: option => option !== 'TCP_INFO' })) })
  t.same(keepAliveOf(server), tuned)
  t.equal(server.listenerCount('connection'), 0)
  t.same(errors, [])
})

t.test('a kernel that refuses is told of once, and the connections are served', { skip }, async t => {
  const server = createServer()
  const refusing = nativeWith({ setOption (_fd, option) { throw refused(`setsockopt(${option})`, 'EPERM') } })
  const errors = await listen(t, server, { sockets: new Sockets(refusing) })
  t.match(errors, [{ code: 'FST_DRAIN_SYSTEM_CALL', message: /SO_KEEPALIVE.*EPERM/ }])
  t.match(keepAliveOf(await accepted(t, server)), { on: 0 })
  t.equal(errors.length, 1)
})

t.test('a kernel that refuses for one socket is told of, too', { skip }, async t => {
  const server = createServer()
  const refusing = nativeWith({
    platform: { ...native.platform, inherits: false },
    setOption (_fd, option) { throw refused(`setsockopt(${option})`, 'EPERM') }
  })
  const errors = await listen(t, server, { sockets: new Sockets(refusing) })
  await accepted(t, server)
  t.match(errors, [{ code: 'FST_DRAIN_SYSTEM_CALL' }])
})

t.test('what cannot be set is named', { skip }, async t => {
  const withoutUserTimeout = nativeWith({ has: option => option !== 'TCP_USER_TIMEOUT' })
  const perNode = nodeTakesAll ? [] : ['TCP_KEEPINTVL', 'TCP_KEEPCNT']
  for (const [given, calls, missing] of [
    [options, native, []],
    [{ ...options, userTimeout: 1000 }, native, []],
    [options, withoutUserTimeout, []],
    [{ ...options, userTimeout: 1000 }, withoutUserTimeout, ['TCP_USER_TIMEOUT']],
    [options, null, perNode],
    [{ ...options, userTimeout: 1000 }, null, [...perNode, 'TCP_USER_TIMEOUT']]
  ] as Array<[KeepAliveOptions, Native | null, string[]]>) {
    t.same(missingKeepAlive(given, calls), missing)
  }
})
