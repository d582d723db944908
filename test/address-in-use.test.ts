import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo, type ListenOptions } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadNative } from '../lib/os/native.ts'
import { Sockets } from '../lib/os/sockets.ts'
import { deferred, eventually, testApp, type TestApp } from './helpers/app.ts'
import { serverTimeWait } from './helpers/drain-inherit.ts'
import { hasIPv6, nameBothAddresses } from './helpers/drain-localhost.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { commandOf, lacks, permittedCommand, serviceEnv, startProgram, unusedPort } from './helpers/systemd.ts'
import { tlsOptions } from './helpers/tls.ts'

interface Test { teardown (fn: () => unknown): void }

const linux = process.platform === 'linux' ? false : 'only Linux has /proc/net/tcp'
const skipIPv6 = hasIPv6() ? false : '::1 is not there'
const skipPython = linux !== false ? linux : lacks(['python3', 'python3'])
if (skipPython !== false && process.env.CI === 'true') t.fail(skipPython)

const host = '127.0.0.1'
const times = { idleGrace: 0, peerCloseTimeout: 100 }

/** Somebody listens there until teardown. */
async function occupy (t: Test, at: ListenOptions = { host, port: 0 }): Promise<number> {
  const server = createServer()
  await once(server.listen(at), 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** What app.listen() fails with. */
async function refusal ({ app }: TestApp, at: ListenOptions): Promise<any> {
  try {
    await app.listen(at as object)
  } catch (error) {
    return error
  }
  throw new Error('it listens')
}

const native = await loadNative()
const skipNative = typeof native === 'string' ? native : linux

for (const scheme of ['http', 'https'] as const) {
  t.test(`SO_REUSEADDR of a listener is read back, and said in the log: ${scheme}`, { skip: skipNative }, async t => {
    const { app, listen, logged } = await testApp(t, times, scheme === 'https' ? { https: tlsOptions } as object : {})
    const { port } = await listen()
    t.equal(logged.filter(message => message.includes('SO_REUSEADDR')).join(), `listen: ${host}:${port} with SO_REUSEADDR on`)
    t.equal(new Sockets(native as Exclude<typeof native, string>).reusesAddress(app.server), true)
  })
}

t.test('SO_REUSEADDR is said of both servers of localhost', { skip: skipNative !== false ? skipNative : skipIPv6 }, async t => {
  nameBothAddresses(t)
  const { app, logged } = await testApp(t, times)
  await app.listen({ host: 'localhost', port: 0 })
  const { port } = app.server.address() as AddressInfo
  await eventually(() => logged.includes(`listen: [::1]:${port} with SO_REUSEADDR on`), 'the second one')
  t.ok(logged.includes(`listen: ${host}:${port} with SO_REUSEADDR on`))
})

t.test('a Unix socket has no SO_REUSEADDR that matters, and the log has nothing about it', async t => {
  const { app, logged } = await testApp(t, times)
  await app.listen({ path: join(await folder(t), 'socket') })
  t.notOk(logged.some(message => message.includes('SO_REUSEADDR')))
})

t.test('a restart binds at once, with a live connection and with connections in TIME_WAIT', { skip: linux }, async t => {
  const first = await testApp(t, times)
  const held = deferred<string>()
  first.app.get('/', async () => 'hello')
  first.app.get('/held', () => held.promise)
  const to = await first.listen()
  for (let i = 0; i < 5; i++) {
    const client = await rawClient(t, to)
    client.write(request('/', { headers: { connection: 'close' } }))
    // The server closes first, so TIME_WAIT is on its side.
    await client.fin()
    client.halfClose()
    await client.closed()
  }
  const live = await rawClient(t, to)
  live.write(request('/held'))
  await eventually(() => first.app.drain.connections.active === 1, 'the request was read')
  const draining = first.app.drain.begin('test')
  await eventually(() => !first.app.server.listening, 'the listener is closed')
  t.ok(serverTimeWait(to.port) > 0, `${serverTimeWait(to.port)} connections in TIME_WAIT`)

  const second = await testApp(t, times)
  second.app.get('/', async () => 'the next one')
  await second.app.listen(to)
  const client = await rawClient(t, to)
  client.write(request('/'))
  await client.until(/the next one/)

  t.equal(live.received, '', 'the connection of the first one is alive')
  held.resolve('at last')
  await live.fin()
  live.halfClose()
  t.match(answers(live.received), [{ status: 200, body: 'at last' }])
  t.match(await draining, { connections: { total: 1, cut: 0 } })
})

t.test('apps listen on several addresses with one port', { skip: linux !== false ? linux : skipIPv6 }, async t => {
  const port = await unusedPort(host, '127.0.0.2', '::1')
  for (const host of ['127.0.0.1', '127.0.0.2', '::1']) {
    const { app } = await testApp(t, times)
    app.get('/', async () => host)
    await app.listen({ host, port })
  }
  for (const host of ['127.0.0.1', '127.0.0.2', '::1']) {
    const client = await rawClient(t, { host, port })
    client.write(request('/'))
    await client.until(body => body.endsWith(host))
  }
})

for (const scheme of ['http', 'https'] as const) {
  t.test(`EADDRINUSE names address, port and the process that listens there, which may be this one: ${scheme}`, { skip: linux }, async t => {
    const port = await occupy(t)
    const tested = await testApp(t, times, scheme === 'https' ? { https: tlsOptions } as object : {})
    const error = await refusal(tested, { host, port })
    t.match(error, { code: 'EADDRINUSE', syscall: 'listen', address: host, port, owner: { pid: process.pid } })
    t.match(error.owner.command, /node[^ ]*$/, 'without its arguments')
    t.match(error.message, new RegExp(`${host}:${port}; process ${process.pid} listens there`))
    t.match(error.stack, error.message)
    t.notOk(tested.app.server.listening)
    // Nothing is left of it.
    const { port: other } = await tested.listen()
    await rawClient(t, { host, port: other })
  })
}

const listener = 'import socket, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); print("{\\"type\\":\\"listening\\"}", flush=True); sys.stdin.read()'

for (const [theirs, ours] of [[host, host], ['0.0.0.0', host], [host, '0.0.0.0']] as const) {
  t.test(`EADDRINUSE names another process: it listens on ${theirs}, and the app wants ${ours}`, { skip: skipPython }, async t => {
    const port = await unusedPort('0.0.0.0')
    const other = startProgram(t, ['python3', '-c', listener, theirs, String(port)])
    await other.tells({ type: 'listening' })
    const tested = await testApp(t, times)
    const error = await refusal(tested, { host: ours, port })
    t.match(error, { code: 'EADDRINUSE', address: ours, port, owner: { pid: other.pid, command: /python3/ } })
    t.match(error.message, `process ${other.pid} listens there`)
  })
}

t.test('EADDRINUSE of localhost names the process, too', { skip: linux }, async t => {
  nameBothAddresses(t)
  const port = await occupy(t)
  t.match(await refusal(await testApp(t, times), { host: 'localhost', port }), { code: 'EADDRINUSE', address: host, port, owner: { pid: process.pid } })
})

t.test('EADDRINUSE with reusePort names the process, too', { skip: skipNative }, async t => {
  const port = await occupy(t)
  const error = await refusal(await testApp(t, { ...times, reusePort: true }), { host, port })
  t.match(error, { code: 'EADDRINUSE', address: host, port, owner: { pid: process.pid } })
})

t.test('EADDRINUSE of a Unix socket has its path', { skip: process.platform === 'win32' }, async t => {
  const path = join(await folder(t), 'socket')
  await occupy(t, { path })
  const error = await refusal(await testApp(t, times), { path })
  t.match(error, { code: 'EADDRINUSE', address: path })
  t.equal(error.owner, undefined)
})

const root = process.getuid?.() === 0 ? false : 'needs root, to be somebody else'
if (root !== false && process.env.CI === 'true') t.fail(root)

t.test('EADDRINUSE is as ever where the process belongs to somebody else', { skip: root !== false ? root : lacks(['setpriv', 'util-linux']) }, async t => {
  const port = await occupy(t)
  const app = startProgram(t, ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', ...commandOf()], {
    env: { ...process.env, ...serviceEnv({ apps: [{ listen: { host, port } }] }) }
  })
  const error = await app.tells({ type: 'failed' })
  t.match(error, { code: 'EADDRINUSE', address: host, port, listening: false })
  t.equal(error.owner, undefined)
  t.match(await app.exited, { code: 0 })
})

t.test('EADDRINUSE is as ever where the permission model hides /proc', { skip: linux }, async t => {
  const port = await occupy(t)
  const app = startProgram(t, permittedCommand(), { env: { ...process.env, ...serviceEnv({ apps: [{ listen: { host, port } }] }) } })
  const error = await app.tells({ type: 'failed' })
  t.match(error, { code: 'EADDRINUSE', address: host, port, listening: false })
  t.equal(error.owner, undefined)
  t.match(await app.exited, { code: 0 })
})

async function folder (t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'drain-'))
  t.teardown(() => rm(path, { recursive: true }))
  return path
}
