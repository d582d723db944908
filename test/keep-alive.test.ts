import t from 'tap'
import type { FastifyServerOptions } from 'fastify'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { descriptorOf } from '../lib/os/descriptor.ts'
import { eventually, testApp } from './helpers/app.ts'
import { hasIPv6, nameBothAddresses } from './helpers/drain-localhost.ts'
import { rawClient } from './helpers/raw-client.ts'
import { tlsOptions } from './helpers/tls.ts'
import { keepAliveOf, native, skip } from './helpers/unit-native.ts'

const options = { idleGrace: 0, keepAlive: { idle: 42_000, interval: 7000, count: 5 } }
const tuned = { on: 1, idle: 42, interval: 7, count: 5, userTimeout: 0 }

for (const [name, server] of [
  ['http', {}],
  ['https', { https: tlsOptions }],
  ['http2', { http2: true }],
  ['secure http2', { http2: true, https: { ...tlsOptions, allowHTTP1: true } }],
  ['http with the keepalive of Node', { http: { keepAlive: true, keepAliveInitialDelay: 99_000 } }]
] as Array<[string, FastifyServerOptions]>) {
  t.test(`the sockets of an app of ${name} have TCP keepalive`, { skip }, async t => {
    const { app, listen, logged } = await testApp(t, options, server)
    const connected = once(app.server, 'connection') as Promise<[Socket]>
    const client = await rawClient(t, await listen())
    t.same(keepAliveOf(app.server), tuned)
    const [socket] = await connected
    t.same(keepAliveOf(socket), tuned)
    t.notMatch(logged, [/keepalive/])
    client.reset()
    await once(socket, 'close').catch(() => {})
  })
}

t.test('by default a peer that is silent for a minute is asked six times, every ten seconds', { skip }, async t => {
  const { app, listen } = await testApp(t)
  await listen()
  t.same(keepAliveOf(app.server), { on: 1, idle: 60, interval: 10, count: 6, userTimeout: 0 })
})

t.test('with keepAlive: false the sockets are left alone', { skip }, async t => {
  const { app, listen } = await testApp(t, { keepAlive: false })
  const connected = once(app.server, 'connection') as Promise<[Socket]>
  const client = await rawClient(t, await listen())
  const [socket] = await connected
  t.equal(keepAliveOf(app.server).on, 0)
  t.equal(keepAliveOf(socket).on, 0)
  client.reset()
})

t.test('the second server of localhost has TCP keepalive, too', { skip: hasIPv6() ? skip : 'there is no ::1 here' }, async t => {
  nameBothAddresses(t)
  const { app } = await testApp(t, options)
  await app.listen({ host: 'localhost', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const fds = descriptorsOf(port)
  t.equal(fds.length, 2)
  for (const fd of fds) t.same(keepAliveOf(fd), tuned)
})

t.test('a Unix socket has no TCP keepalive, and nothing is said about it', { skip }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { app, logged } = await testApp(t, options)
  app.get('/', async () => 'hello')
  await app.listen({ path: join(folder, 'socket') })
  const client = await rawClient(t, { path: join(folder, 'socket') })
  client.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  await client.until(/hello/)
  client.halfClose()
  t.equal(native.getInt(descriptorOf(app.server) as number, 'SO_KEEPALIVE'), 0)
  t.notMatch(logged, [/keepalive/])
})

for (const passed of ['fd', 'LISTEN_FDS'] as const) {
  t.test(`connections that waited on an inherited listener (${passed}) have TCP keepalive, as have those that come later`, { skip }, async t => {
    const listener = createServer()
    await once(listener.listen(0, '127.0.0.1'), 'listening')
    const { port } = listener.address() as AddressInfo
    const child = fork(fileURLToPath(new URL('./fixtures/keep-alive-queued.ts', import.meta.url)), {
      execArgv: process.execArgv.filter(argument => !argument.includes('@tapjs/mock')),
      stdio: ['ignore', 'inherit', 'inherit', descriptorOf(listener) as number, 'ipc']
    })
    const messages: any[] = []
    child.on('message', message => { messages.push(message) })
    const exited = once(child, 'exit')
    t.teardown(async () => {
      if (child.connected) child.disconnect()
      await exited
    })
    // From here on this process accepts nothing.
    await once(listener.close(), 'close')
    await eventually(() => messages.some(({ type }) => type === 'started'), 'it has started')

    const early = await Promise.all([0, 1, 2].map(() => rawClient(t, { host: '127.0.0.1', port })))
    t.notMatch(messages, [{ type: 'accepted' }])
    child.send({ passed, port })
    await eventually(() => messages.some(({ type }) => type === 'listening'), 'it listens')
    const late = await rawClient(t, { host: '127.0.0.1', port })
    await eventually(() => messages.filter(({ type }) => type === 'accepted').length === 4, 'all were accepted')

    t.same(messages.find(({ type }) => type === 'listening').keepAlive, tuned)
    for (const client of [...early, late]) {
      t.same(messages.find(message => message.port === client.socket.localPort).keepAlive, tuned)
    }
    for (const client of [...early, late]) client.halfClose()
  })
}

/** The listening sockets of this process that have this port. */
function descriptorsOf (port: number): number[] {
  return Array.from({ length: 200 }, (_, fd) => fd).filter(fd => {
    try {
      const address = native.addressOf(fd)
      return native.getInt(fd, 'SO_ACCEPTCONN') === 1 && new DataView(address.buffer).getUint16(2) === port
    } catch { return false }
  })
}
