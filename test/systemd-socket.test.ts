import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import type { NetConnectOpts } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { hasIPv6 } from './helpers/drain-localhost.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { endsWell, lacks, logged, socketActivate, startActivated, unusedPort } from './helpers/systemd.ts'
import { tlsClient } from './helpers/tls-client.ts'

const skip = lacks(socketActivate)
if (skip !== false && process.env.CI === 'true') t.fail(skip)
const skipIPv6 = skip !== false ? skip : hasIPv6() ? false : '::1 is not there'

const host = '127.0.0.1'
const options = { idleGrace: 100, peerCloseTimeout: 100 }

/** What answers there: the index of the app. The first request is what makes systemd-socket-activate start the service. */
async function ask (t: { teardown (fn: () => unknown): void }, to: NetConnectOpts): Promise<number> {
  const client = await rawClient(t, to)
  client.write(request('/', { headers: { connection: 'close' } }))
  await client.fin()
  client.halfClose()
  return JSON.parse(answers(client.received)[0]!.body).index
}

t.test('a socket of systemd is adopted by the app.listen() that asks for its address', { skip }, async t => {
  const port = await unusedPort()
  const service = await startActivated(t, [`${host}:${port}`], { apps: [{ options, listen: { host, port } }] })
  t.equal(await ask(t, { host, port }), 0)
  t.same((await service.tells({ type: 'listening' })).addresses, [{ address: host, family: 'IPv4', port }])
  t.ok(await service.says(`listen: on the inherited descriptor 3, ${host}:${port}`), 'the log says so')
  t.same(logged(service, 'warn'), [])
  await endsWell(t, service)
})

t.test('of two sockets each app gets the one with its address, in whatever order they come', { skip }, async t => {
  const ports = [await unusedPort(), await unusedPort()]
  const [first, second] = ports as [number, number]
  const service = await startActivated(t, [`${host}:${first}`, `${host}:${second}`], {
    apps: [{ options, listen: { host, port: second } }, { options, listen: { host, port: first } }]
  }, { names: 'a:b' })
  t.equal(await ask(t, { host, port: first }), 1)
  t.equal(await ask(t, { host, port: second }), 0)
  t.same(logged(service, 'warn'), [], 'both were asked for')
  await endsWell(t, service)
})

t.test('listenFdName takes the socket of that name, whatever its address', { skip }, async t => {
  const [first, second] = [await unusedPort(), await unusedPort()]
  const service = await startActivated(t, [`${host}:${first}`, `${host}:${second}`], {
    apps: [
      { options: { ...options, listenFdName: 'b' }, listen: { host: '0.0.0.0', port: 3000 } },
      { options: { ...options, listenFdName: 'a' }, listen: { port: 0 } }
    ]
  }, { names: 'a:b' })
  t.equal(await ask(t, { host, port: second }), 0)
  t.equal(await ask(t, { host, port: first }), 1)
  t.same(logged(service, 'warn'), [])
  await endsWell(t, service)
})

t.test('localhost adopts the sockets of 127.0.0.1 and of ::1', { skip: skipIPv6 }, async t => {
  const port = await unusedPort(host, '::1')
  const service = await startActivated(t, [`[::1]:${port}`, `${host}:${port}`], {
    apps: [{ options, listen: { host: 'localhost', port } }]
  })
  t.equal(await ask(t, { host, port }), 0)
  t.equal(await ask(t, { host: '::1', port }), 0)
  t.same(logged(service, 'warn'), [])
  await endsWell(t, service)
})

t.test('localhost with one address inherited listens there alone: a socket of its own would end with each process', { skip: skipIPv6 }, async t => {
  const port = await unusedPort(host, '::1')
  const service = await startActivated(t, [`[::1]:${port}`], { apps: [{ options, listen: { host: 'localhost', port } }] })
  t.equal(await ask(t, { host: '::1', port }), 0)
  await t.rejects(rawClient(t, { host, port }), { code: 'ECONNREFUSED' })
  t.same(logged(service, 'warn'), [])
  await endsWell(t, service)
})

for (const [asked, inherited] of [[host, '0.0.0.0'], ['localhost', '0.0.0.0'], [host, '[::]'], ['localhost', '[::]'], ['0.0.0.0', '[::]'], ['::', '[::]']] as const) {
  t.test(`a socket on ${inherited} serves an app that asks for ${asked} and the same port`, { skip: inherited === '[::]' ? skipIPv6 : skip }, async t => {
    const port = await unusedPort('0.0.0.0', '::')
    const service = await startActivated(t, [`${inherited}:${port}`], { apps: [{ options, listen: { host: asked, port } }] })
    t.equal(await ask(t, { host, port }), 0)
    t.ok(await service.says(`listen: on the inherited descriptor 3, ${inherited}:${port}`), 'the log says so')
    await endsWell(t, service)
    t.same(logged(service, 'warn'), [])
  })
}

t.test('a Unix socket is adopted by its path, and stays for the next process', { skip }, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'drain-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, 'socket')
  const service = await startActivated(t, [path], { apps: [{ options, listen: { path } }] })
  t.equal(await ask(t, { path }), 0)
  t.same(logged(service, 'warn'), [])
  await endsWell(t, service)
  t.ok(existsSync(path))
})

t.test('an app with https adopts its socket', { skip }, async t => {
  const port = await unusedPort()
  const service = await startActivated(t, [`${host}:${port}`], { apps: [{ options, listen: { host, port }, https: true }] })
  const client = await tlsClient(t, { host, port })
  client.socket.write(request('/'))
  await client.until(/"index":0/)
  client.socket.destroy()
  await endsWell(t, service)
})

t.test('an app.listen() that asks for something else binds it, and what nobody asked for gets a warning', { skip }, async t => {
  const [first, second] = [await unusedPort(), await unusedPort()]
  const service = await startActivated(t, [`${host}:${first}`, `${host}:${second}`], {
    apps: [{ options, listen: { host, port: first } }, { options, listen: { host, port: 0 } }]
  }, { names: 'http:admin' })
  t.equal(await ask(t, { host, port: first }), 0)
  const { addresses: [own] } = await service.tells({ type: 'listening', index: 1 })
  t.notOk([first, second].includes(own.port), 'port 0 is any free port, and never an inherited one')
  t.equal(await ask(t, { host, port: own.port }), 1)
  await service.says('nobody has asked')
  t.match(logged(service, 'warn').join('\n'), new RegExp(`admin.*${host}:${second}|${host}:${second}.*admin`), 'with its name and its address')
  await endsWell(t, service)
})

t.test('a socket is given to one app only', { skip }, async t => {
  const port = await unusedPort()
  const service = await startActivated(t, [`${host}:${port}`], {
    apps: [{ options, listen: { host, port } }, { options, listen: { host, port } }]
  })
  t.equal(await ask(t, { host, port }), 0)
  t.match(await service.tells({ type: 'failed', index: 1 }), { code: 'EADDRINUSE', listening: false })
  t.equal(await ask(t, { host, port }), 0, 'the first one goes on')
  await endsWell(t, service)
})

t.test('a process that the service starts does not inherit its listening sockets', { skip }, async t => {
  const [first, second] = [await unusedPort(), await unusedPort()]
  await startActivated(t, [`${host}:${first}`, `${host}:${second}`], { apps: [{ options, listen: { host, port: first } }] })
  const client = await rawClient(t, { host, port: first })
  client.write(request('/child', { headers: { connection: 'close' } }))
  await client.fin()
  client.halfClose()
  const { child, own, inherited } = JSON.parse(answers(client.received)[0]!.body)
  t.ok(inherited.every((link: string) => link.startsWith('socket:')))
  t.same(inherited.filter((socket: string) => !own.includes(socket)), [], 'the service has both, adopted or not')
  t.same(inherited.filter((socket: string) => child.includes(socket)), [])
})
