import t from 'tap'
import cluster from 'node:cluster'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../../lib/clock.ts'
import { systemClock } from '../../../lib/clock.ts'
import type { Inherited } from '../../../lib/listen/inherited.ts'
import { stopListening } from '../../../lib/listen/leave-listener.ts'
import { Listeners, nodeSharesPorts } from '../../../lib/listen/listeners.ts'
import type { ListenOptions } from '../../../lib/listen/override.ts'
import { watchListen } from '../../../lib/listen/watch-listen.ts'
import { resolveOptions, type FastifyDrainOptions } from '../../../lib/options.ts'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import type { Native } from '../../../lib/os/native.ts'
import { bindShared } from '../../../lib/os/reuse-port.ts'
import { Sockets } from '../../../lib/os/sockets.ts'
import { takeName } from '../../../lib/os/unix.ts'
import { eventually } from '../../helpers/app.ts'
import { hasIPv6 } from '../../helpers/drain-localhost.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { boundUnixSocket, keepAliveOf, native, nativeWith, refused, skip } from '../../helpers/unit-native.ts'

interface Teardown { teardown (fn: () => unknown): void }

interface Given {
  calls?: Native | null
  inherited?: Inherited[]
  clock?: Clock
}

function setUp (t: Teardown, options: FastifyDrainOptions = {}, { calls = native, inherited = [], clock = systemClock }: Given = {}) {
  const lines: string[] = []
  const to = (level: string) => (fields: object, message: string) => {
    const { err } = fields as { err?: Error }
    lines.push(`${level}: ${message}${err === undefined ? '' : ` (${err.message})`}`)
  }
  const log = { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') }
  const received: unknown[][] = []
  const listeners = new Listeners({ receive: (...what) => { received.push(what) }, settings: resolveOptions(options, {}), native: calls, sockets: new Sockets(calls), clock, log, inherited })

  /** Lets a server listen as one of the app's does. */
  const listen = async (at: ListenOptions, { server = createServer(), isMain = true } = {}): Promise<Server> => {
    let first = true
    watchListen(server, (server, options) => {
      if (first) listeners.prepare(server, options, isMain)
      first = false
    })
    t.teardown(() => server.close())
    server.listen(at as object)
    await once(server, 'listening')
    return server
  }
  return { listeners, lines, listen, received, warnings: () => lines.filter(line => line.startsWith('warn')) }
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port

const SOCK_STREAM = 1

const here = { host: '127.0.0.1', port: 0 }

function folder (t: Teardown): string {
  const path = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

async function visited (server: Server): Promise<void> {
  const client = connect(portOf(server), '127.0.0.1')
  await once(client, 'connect')
  client.destroy()
}

t.test('a server that listens has TCP keepalive, and its SO_REUSEADDR is told at debug level', { skip }, async t => {
  const { lines, listen } = setUp(t)
  const server = await listen(here)
  t.match(keepAliveOf(server), { on: 1, idle: 60, interval: 10, count: 6 })
  t.same(lines, [`debug: listen: 127.0.0.1:${portOf(server)} with SO_REUSEADDR on`])
  t.same([server.listenerCount('error'), server.listenerCount('connection')], [0, 0], 'no listener is left behind')

  const off = setUp(t, { keepAlive: false }, { calls: nativeWith({ getInt: () => 0 }) })
  const other = await off.listen(here)
  t.equal(keepAliveOf(other).on, 0)
  t.same(off.lines, [`debug: listen: 127.0.0.1:${portOf(other)} with SO_REUSEADDR off`])
})

t.test('of a Unix socket, or without system calls, nothing is told', { skip }, async t => {
  const unix = setUp(t)
  await unix.listen({ path: join(folder(t), 'socket') })
  const unable = setUp(t, {}, { calls: null })
  await unable.listen(here)
  t.same([...unix.lines, ...unable.lines], [])
})

t.test('a kernel that does not take the options of a listener is told of, and the server listens', { skip }, async t => {
  const { warnings, listen } = setUp(t, {}, { calls: nativeWith({ setOption () { throw refused('setsockopt(SO_KEEPALIVE)', 'EPERM') } }) })
  const server = await listen(here)
  t.match(warnings(), [/^warn: listen: TCP keepalive cannot be set .*EPERM/])
  await visited(server)
})

t.test('an address in use is an error that names its owner, and the server can try another', { skip }, async t => {
  const { listeners, listen } = setUp(t)
  const taken = await listen(here)
  const server = createServer()
  t.teardown(() => server.close())
  watchListen(server, (server, options) => listeners.prepare(server, options, true))
  server.listen({ host: '127.0.0.1', port: portOf(taken) })
  const error = await new Promise(resolve => server.once('error', resolve))
  t.match(error, { code: 'EADDRINUSE', address: '127.0.0.1', port: portOf(taken), owner: { pid: process.pid } })
  t.same([server.listenerCount('listening'), server.listenerCount('error')], [0, 0], 'no listener is left behind')
  server.listen(here)
  await once(server, 'listening')
  t.equal(keepAliveOf(server).on, 1)
})

function inheritedOne (fd: number, at: Inherited['at'], name = ''): Inherited {
  return { fd, name, at, taken: false } as Inherited
}

/** A listening socket of this process, as if it was inherited. */
async function inheritable (t: Teardown, name = ''): Promise<Inherited> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return inheritedOne(descriptorOf(server) as number, { address: '127.0.0.1', port: portOf(server) }, name)
}

t.test('a server listens on the inherited socket with its address', { skip }, async t => {
  const fd = bindShared(native, '127.0.0.1', 0, false) as number
  const port = new DataView(native.addressOf(fd).buffer).getUint16(2)
  const one = inheritedOne(fd, { address: '127.0.0.1', port })
  const { lines, listen, warnings } = setUp(t, {}, { inherited: [one] })
  const at: ListenOptions = { host: '127.0.0.1', port }
  const server = await listen(at)
  t.equal(descriptorOf(server), fd)
  t.equal(portOf(server), port)
  t.equal(at.fd, undefined, 'the options are those of the user')
  t.equal(one.taken, true)
  t.equal(keepAliveOf(server).on, 1)
  await visited(server)
  t.equal(lines[0], `info: listen: on the inherited descriptor ${fd}, 127.0.0.1:${port}`)
  t.same(warnings(), [])
})

t.test('a server listens on an inherited Unix socket, and knows its path', { skip }, async t => {
  const path = join(folder(t), 'socket')
  const fd = boundUnixSocket(path, SOCK_STREAM)
  const { lines, listen } = setUp(t, {}, { inherited: [inheritedOne(fd, { path })] })
  const server = await listen({ path })
  t.equal(server.address(), path)
  t.same(lines, [`info: listen: on the inherited descriptor ${fd}, ${path}`], 'and no keepalive')
  const client = connect(path)
  await once(client, 'connect')
  client.destroy()
})

t.test('a Unix socket that the user passes as a descriptor is listened on without a word', { skip }, async t => {
  const path = join(folder(t), 'socket')
  const fd = boundUnixSocket(path, SOCK_STREAM)
  const { lines, listen } = setUp(t)
  t.ok((await listen({ fd })).listening)
  t.same(lines, [])
})

t.test('a server that shall have an inherited socket by its name has it, or an error that names the others', { skip }, async t => {
  const [web, admin] = [inheritedOne(33, { address: '::', port: 80 }, 'web'), inheritedOne(34, { path: '/run/admin' }, 'admin')]
  const { listeners, lines } = setUp(t, { listenFdName: 'web' }, { inherited: [web, admin] })
  const first: ListenOptions = { ...here }
  listeners.prepare(createServer(), first, true)
  t.equal(first.fd, 33)
  t.same(lines, ['info: listen: on the inherited descriptor 33 (web), [::]:80'])

  const server = createServer()
  listeners.prepare(server, { ...here }, true)
  t.match(await new Promise(resolve => server.once('error', resolve)), {
    code: 'FST_DRAIN_INHERITED',
    message: /option "listenFdName" is 'web', .*; there are 33 \(web\), \[::\]:80; 34 \(admin\), \/run\/admin$/
  })
})

t.test('where nothing was inherited a name does not matter, as in development', { skip }, async t => {
  const { listen } = setUp(t, { listenFdName: 'web' })
  t.ok((await listen(here)).listening)
})

t.test('the second server of localhost is refused when the first one inherits, unless its address was inherited, too', { skip }, async t => {
  const wide = inheritedOne(33, { address: '::', port: 80 })
  const [v4, v6] = [inheritedOne(34, { address: '127.0.0.1', port: 81 }), inheritedOne(35, { address: '::1', port: 81 })]
  const { listeners } = setUp(t, {}, { inherited: [wide, v4, v6] })
  listeners.prepare(createServer(), { host: 'localhost', port: 80 }, true)
  t.ok(wide.taken)
  const second = createServer()
  listeners.prepare(second, { host: '::1', port: 80 }, false)
  t.match(await new Promise(resolve => second.once('error', resolve)), { code: 'FST_DRAIN_INHERITED' })

  listeners.prepare(createServer(), { host: 'localhost', port: 81 }, true)
  const third: ListenOptions = { host: '::1', port: 81 }
  listeners.prepare(createServer(), third, false)
  t.equal(third.fd, 35)
})

t.test('the second server of localhost takes no socket but that with its address, whatever the name', { skip }, async t => {
  const [web, v6, wide] = [
    inheritedOne(33, { address: '10.0.0.1', port: 1 }, 'web'), inheritedOne(34, { address: '::1', port: 80 }), inheritedOne(35, { address: '::', port: 81 })
  ]
  const { listeners } = setUp(t, { listenFdName: 'web' }, { inherited: [web, v6, wide] })
  listeners.prepare(createServer(), { host: 'localhost', port: 80 }, true)
  t.ok(web.taken)
  const second: ListenOptions = { host: '::1', port: 80 }
  listeners.prepare(createServer(), second, false)
  t.equal(second.fd, 34)
  const third = createServer()
  listeners.prepare(third, { host: '::1', port: 81 }, false)
  t.match(await new Promise(resolve => third.once('error', resolve)), { code: 'FST_DRAIN_INHERITED' })
  t.notOk(wide.taken)
})

t.test('an inherited socket is not shared, whatever reusePort says', { skip }, async t => {
  const { listeners } = setUp(t, { reusePort: true }, { inherited: [inheritedOne(33, { address: '127.0.0.1', port: 80 })] })
  const options: ListenOptions = { host: '127.0.0.1', port: 80 }
  listeners.prepare(createServer(), options, true)
  t.equal(options.fd, 33)
  t.notOk(options.reusePort)
})

t.test('the second server of localhost listens by itself when the first one does, whatever the name', { skip }, async t => {
  const { listen } = setUp(t, { listenFdName: 'web' }, { inherited: [] })
  t.ok((await listen(here, { isMain: false })).listening)
})

t.test('a descriptor of the user is taken as it is', { skip }, async t => {
  const one = await inheritable(t)
  const { listeners } = setUp(t, { reusePort: true }, { inherited: [one] })
  const options: ListenOptions = { host: '127.0.0.1', port: (one.at as AddressInfo).port, fd: 99 }
  listeners.prepare(createServer(), options, true)
  t.equal(options.fd, 99)
  t.equal(one.taken, false)
})

t.test('inherited sockets that nobody has asked for are told of, a while later and once', { skip }, async t => {
  const clock = new FakeClock()
  const inherited = [
    inheritedOne(3, { address: '::1', port: 80 }),
    inheritedOne(4, { path: '/run/admin' }, 'admin'),
    { ...inheritedOne(5, { path: '/run/web' }), taken: true },
    inheritedOne(6, { path: '/run/later' })
  ]
  const [first, second] = [setUp(t, {}, { inherited, clock }), setUp(t, {}, { inherited, clock })]
  first.listeners.tellOfUnused()
  clock.advance(500)
  first.listeners.tellOfUnused()
  second.listeners.tellOfUnused()
  clock.advance(999)
  t.same([...first.lines, ...second.lines], [])
  // Another app of the process.
  inherited[3]!.taken = true
  clock.advance(60_000)
  t.match([...first.lines, ...second.lines], [
    /^warn: listen: nobody has asked for the inherited listener 3, \[::1\]:80; .*listenFdName/,
    /^warn: listen: nobody has asked for the inherited listener 4 \(admin\), \/run\/admin;/
  ])
  t.equal(first.lines.length + second.lines.length, 2)
  t.equal(clock.timers, 0)
})

t.test('an app that closes before does not tell', { skip }, async t => {
  const clock = new FakeClock()
  const { listeners, lines } = setUp(t, {}, { inherited: [inheritedOne(3, { address: '::1', port: 80 })], clock })
  listeners.closing()
  listeners.tellOfUnused()
  listeners.closing()
  clock.advance(60_000)
  t.same(lines, [])
  t.equal(clock.timers, 0)
})

t.test('with reusePort two servers share a port, on every Node line', { skip }, async t => {
  const { listen, warnings } = setUp(t, { reusePort: true })
  const first = await listen(here)
  const at = { host: '127.0.0.1', port: portOf(first) }
  const second = await listen(at)
  for (const server of [first, second]) {
    t.equal(portOf(server), at.port)
    t.equal(native.getInt(descriptorOf(server) as number, 'SO_REUSEPORT'), 1)
    t.equal(keepAliveOf(server).on, 1)
  }
  t.notOk('reusePort' in at || 'fd' in at, 'the options are those of the user')
  t.same(warnings(), [])
})

t.test('without a host a shared port is that of every address', { skip: hasIPv6() ? skip : 'there is no ::1 here' }, async t => {
  const { listen } = setUp(t, { reusePort: true })
  for (const options of [{ port: 0 }, { host: '', port: '0' }]) {
    const server = await listen(options)
    t.equal((server.address() as AddressInfo).address, '::')
    t.equal(native.getInt(descriptorOf(server) as number, 'SO_REUSEPORT'), 1)
    await visited(server)
  }
  const server = await listen({ host: '::', port: 0, ipv6Only: true })
  await t.rejects(visited(server), { code: 'ECONNREFUSED' })
})

t.test('a Unix socket cannot be shared', { skip }, async t => {
  const { listen } = setUp(t, { reusePort: true })
  const path = join(folder(t), 'socket')
  await t.rejects(listen({ path }), {
    code: 'FST_DRAIN_REUSE_PORT',
    message: `fastify-drain: reusePort is set, but the Unix socket ${path} has no port to share; listen on a host and port, or leave reusePort out`
  })
})

t.test('a shared port that somebody has for himself is the error that Node gives', { skip }, async t => {
  const other = createServer()
  await once(other.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => other.close())
  const { listen } = setUp(t, { reusePort: true })
  const port = portOf(other)
  await t.rejects(listen({ host: '127.0.0.1', port }), {
    code: 'EADDRINUSE', errno: -98, syscall: 'listen', address: '127.0.0.1', port, owner: { pid: process.pid }, message: new RegExp(`^listen EADDRINUSE: address already in use 127.0.0.1:${port}`)
  })
})

t.test('a host that does not exist is the error that Node gives', { skip }, async t => {
  const { listen } = setUp(t, { reusePort: true })
  await t.rejects(listen({ host: 'does-not-exist.invalid', port: 0 }), { code: /^(ENOTFOUND|EAI_AGAIN)$/, message: /getaddrinfo/ })
})

t.test('what the kernel refuses when a port shall be shared is an error of listen()', { skip: nodeSharesPorts ? 'Node does it itself' : skip }, async t => {
  for (const [errno, expected] of [
    ['EACCES', { code: 'EACCES', errno: -13, syscall: 'listen', message: 'listen EACCES: permission denied 127.0.0.1:0', cause: { code: 'FST_DRAIN_SYSTEM_CALL' } }],
    // Known to the kernel, unknown to libuv.
    ['EDEADLK', { code: 'EDEADLK', syscall: 'listen', message: 'listen EDEADLK:  127.0.0.1:0' }],
    ['Unknown system error -524', { code: 'FST_DRAIN_SYSTEM_CALL' }]
  ] as const) {
    const { listen } = setUp(t, { reusePort: true }, { calls: nativeWith({ bind () { throw refused('bind()', errno) } }) })
    await t.rejects(listen(here), expected, errno)
  }
  const broken = setUp(t, { reusePort: true }, { calls: nativeWith({ resolve () { throw new TypeError('kaboom') } }) })
  await t.rejects(broken.listen(here), { name: 'TypeError', message: 'kaboom' })
  const nowhere = setUp(t, { reusePort: true }, { calls: nativeWith({ bind () { throw refused('bind()', 'EACCES') } }) })
  await t.rejects(nowhere.listen({ port: 0 }), { message: 'listen EACCES: permission denied :0' })
})

t.test('in a worker of a cluster it is the primary that binds, unless Node shares the port', { skip }, async t => {
  const worker = cluster as { isWorker: boolean }
  t.teardown(() => { worker.isWorker = false })
  worker.isWorker = true
  const { listeners } = setUp(t, { reusePort: true })
  const options: ListenOptions = { ...here }
  listeners.prepare(createServer(), options, true)
  t.match(options, nodeSharesPorts ? { reusePort: true, fd: undefined } : { reusePort: undefined, fd: undefined })
})

t.test('a worker of a cluster tells another one where it listens, and that one finds what it asks its primary for', { skip }, async t => {
  const worker = cluster as { isWorker: boolean }
  t.teardown(() => { worker.isWorker = false })
  const path = join(folder(t), 'socket')
  const old = setUp(t)
  const servers = [await old.listen(here), await old.listen({ path })]
  worker.isWorker = true
  const passed = [...old.listeners.passed([...servers, createServer()]).values()]
  const port = portOf(servers[0] as Server)
  t.same(passed, [{ fd: 0, name: '', anyPort: true, at: { address: '127.0.0.1', port } }, { fd: 0, name: '', anyPort: false, at: { path } }])

  const inherited: Inherited[] = passed.map((one, fd) => ({ ...one, fd, at: one.at as Inherited['at'], isPassed: true, ofPrimary: true, taken: false }))
  const successor = setUp(t, {}, { inherited })
  for (const [i, options] of [{ host: '127.0.0.1', port: 0 }, { path }].entries()) {
    const server = createServer()
    const asked: ListenOptions = { ...options }
    successor.listeners.prepare(server, asked, true)
    t.same(asked, options, 'the primary is asked, whatever was passed')
    inherited[i]?.receive?.('a handle' as never, 'luggage' as never)
    t.same(successor.received.splice(0), [[server, 'a handle', 'luggage']])
  }
  t.same(successor.lines, [])
  await Promise.all(servers.map(server => old.listeners.leaveTo(server, () => stopListening(server))))
  t.notOk(servers.some(({ listening }) => listening))
})

t.test('where a port cannot be shared, or left without a loss, the server listens and leaves all the same', { skip }, async t => {
  for (const calls of [null, nativeWith({ has: option => option !== 'SO_ATTACH_REUSEPORT_CBPF' })]) {
    const { listeners, lines, listen } = setUp(t, { reusePort: true }, { calls })
    const server = await listen(here)
    t.equal(native.getInt(descriptorOf(server) as number, 'SO_REUSEPORT'), nodeSharesPorts ? 1 : 0)
    await listeners.leave(server, () => stopListening(server))
    t.notOk(server.listening)
    t.same(lines.filter(line => !line.startsWith('debug')), [])
  }
})

t.test('a server that shares nothing stops after a quiet turn', { skip }, async t => {
  const clock = new FakeClock()
  const { listeners, listen } = setUp(t, {}, { clock })
  const server = await listen(here)
  const left = listeners.leave(server, () => stopListening(server))
  t.ok(server.listening)
  clock.nextTurn()
  await left
  t.notOk(server.listening)
})

t.test('row 18: of two servers that share a port the one that leaves sends new connections to the other', { skip }, async t => {
  const { listeners, listen, warnings } = setUp(t, { reusePort: true })
  const first = await listen(here)
  const second = await listen({ host: '127.0.0.1', port: portOf(first) })
  for (const [leaver, other] of [[second, first], [first, null]] as const) {
    await listeners.leave(leaver, () => stopListening(leaver))
    t.notOk(leaver.listening)
    if (other !== null) await visited(other)
  }
  t.same(warnings(), [])
})

t.test('a group that cannot be steered is left with a warning, and its program is taken away', { skip }, async t => {
  const calls = nativeWith({ attachFilter () { throw refused('setsockopt(SO_ATTACH_REUSEPORT_CBPF)', 'EPERM') } })
  const { listeners, listen, warnings } = setUp(t, { reusePort: true }, { calls })
  const first = await listen(here)
  const second = await listen({ host: '127.0.0.1', port: portOf(first) })
  await listeners.leave(first, () => stopListening(first))
  t.notOk(first.listening)
  t.match(warnings(), [/^warn: drain: new connections cannot be sent to the other listeners of the port; .*EPERM/])
  await visited(second)
})

t.test('a server that is closed while it leaves its group is left without a word', { skip }, async t => {
  const { listeners, listen, warnings } = setUp(t, { reusePort: true })
  const first = await listen(here)
  await listen({ host: '127.0.0.1', port: portOf(first) })
  const left = listeners.leave(first, () => stopListening(first))
  stopListening(first)
  await left
  t.same(warnings(), [])
})

t.test('a server that does not listen any more has no group to leave', { skip }, async t => {
  const { listeners, listen, warnings } = setUp(t, { reusePort: true })
  const server = await listen(here)
  server.close()
  let stopped = false
  await listeners.leave(server, () => { stopped = true })
  t.ok(stopped)
  t.same(warnings(), [])
})

t.test('a group that cannot be joined in full is told of, as long as the server listens', { skip }, async t => {
  const calls = nativeWith({
    setOption (fd, option, value) {
      if (option === 'SO_DETACH_REUSEPORT_BPF') throw refused(`setsockopt(${option})`, 'EPERM')
      native.setOption(fd, option, value)
    }
  })
  const { listen, warnings } = setUp(t, { reusePort: true }, { calls })
  await listen(here)
  await eventually(() => warnings().length > 0, 'it was told')
  t.match(warnings(), [/^warn: listen: the other listeners of the port may still keep new connections to themselves .*EPERM/])
})

/** Somebody else in the group of this server is joining or leaving; the function ends that. */
function lock (server: Server): () => void {
  return takeName(native, `fastify-drain/reuse-port/127.0.0.1:${portOf(server)}`) as () => void
}

t.test('whoever joins while somebody else joins or leaves waits', { skip }, async t => {
  const clock = new FakeClock()
  let detached = 0
  const calls = nativeWith({
    setOption (fd, option, value) {
      if (option === 'SO_DETACH_REUSEPORT_BPF') detached++
      native.setOption(fd, option, value)
    }
  })
  const { listen, warnings } = setUp(t, { reusePort: true }, { calls, clock })
  const first = await listen(here)
  t.equal(detached, 1)
  const unlock = lock(first)
  await listen({ host: '127.0.0.1', port: portOf(first) })
  await clock.pass(100)
  t.equal(detached, 1)
  unlock()
  await clock.pass(100)
  t.equal(detached, 2)
  t.equal(clock.timers, 0)
  t.same(warnings(), [])
  const free = lock(first)
  t.type(free, 'function', 'the lock is free again')
  free()
})

t.test('whoever joins does not wait for ever, and says so', { skip }, async t => {
  const clock = new FakeClock()
  const { listen, warnings } = setUp(t, { reusePort: true }, { clock })
  const first = await listen(here)
  t.teardown(lock(first))
  await listen({ host: '127.0.0.1', port: portOf(first) })
  await clock.pass(9000)
  t.same(warnings(), [])
  await clock.pass(2000)
  t.match(warnings(), [/^warn: listen: .*\(another member of the group has been leaving or joining for 10000 ms\)$/])
  t.equal(clock.timers, 0)
})

t.test('a server that is closed before it has joined its group is not told of', { skip }, async t => {
  const clock = new FakeClock()
  const { listen, warnings } = setUp(t, { reusePort: true }, { clock })
  const first = await listen(here)
  t.teardown(lock(first))
  const second = await listen({ host: '127.0.0.1', port: portOf(first) })
  second.close()
  await clock.pass(100)
  t.same(warnings(), [])
  t.equal(clock.timers, 0)
})

/** As a predecessor passes it. */
const passedOne = (at: Inherited['at'], name = '', fd = 33): Inherited => ({ ...inheritedOne(fd, at, name), isPassed: true })

/** A descriptor that whoever listens on it closes. */
function bound (): { fd: number, at: { address: string, port: number } } {
  const fd = bindShared(native, '127.0.0.1', 0, false) as number
  return { fd, at: { address: '127.0.0.1', port: new DataView(native.addressOf(fd).buffer).getUint16(2) } }
}

t.test('a successor gets the listeners that are open, with what the kernel does not know of them', { skip }, async t => {
  const [web, any] = [bound(), bound()]
  const { listeners, listen } = setUp(t, {}, { inherited: [inheritedOne(web.fd, web.at, 'web'), { ...passedOne(any.at, '', any.fd), anyPort: true }] })
  const path = join(folder(t), 'socket')
  const [first, closed, unix] = [await listen(here), await listen({ host: '127.0.0.1', port: '0' }), await listen({ path })]
  const [inherited, passed] = [await listen({ host: web.at.address, port: web.at.port }), await listen({ host: any.at.address, port: 0 })]
  const other = createServer()
  await once(other.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => other.close())
  closed.close()

  t.strictSame([...listeners.passed([first, closed, unix, inherited, passed, other, createServer()])], [
    [first, { fd: descriptorOf(first), name: '', anyPort: true }],
    [unix, { fd: descriptorOf(unix), name: '', anyPort: false }],
    [inherited, { fd: descriptorOf(inherited), name: 'web', anyPort: false }],
    [passed, { fd: descriptorOf(passed), name: '', anyPort: true }],
    [other, { fd: descriptorOf(other), name: '', anyPort: false }]
  ])
})

t.test('an app that has asked for a port gets no other one for its successor', { skip }, async t => {
  const { at } = await inheritable(t)
  const port = (at as AddressInfo).port + 1
  const { listeners } = setUp(t)
  const server = createServer()
  listeners.prepare(server, { host: '127.0.0.1', port }, true)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  t.match(listeners.passed([server]).get(server), { anyPort: false })
})

t.test('whoever has the listener gets the connections that a predecessor has accepted there', { skip }, async t => {
  const one = passedOne({ address: '127.0.0.1', port: 80 })
  const { listeners, received } = setUp(t, {}, { inherited: [one] })
  const server = createServer()
  listeners.prepare(server, { host: '127.0.0.1', port: 80 }, true)
  const [handle, luggage] = [{ close () {} }, { age: 1, requests: 2, isFresh: false }]
  one.receive?.(handle, luggage)
  t.strictSame(received, [[server, handle, luggage]])
})

t.test('nobody is told of a listener that a predecessor has passed and this version does not want', { skip }, async t => {
  const clock = new FakeClock()
  const { listeners, lines } = setUp(t, {}, { inherited: [passedOne({ address: '::1', port: 80 })], clock })
  listeners.tellOfUnused()
  clock.advance(60_000)
  t.same(lines, [])
})

t.test('what a successor listens on as well is left at once, and the file of a Unix socket stays', { skip }, async t => {
  const { listeners, listen } = setUp(t)
  const path = join(folder(t), 'socket')
  for (const at of [here, { path }]) {
    const server = await listen(at)
    const closed = once(server, 'close')
    await listeners.leaveTo(server, () => stopListening(server))
    t.notOk(server.listening)
    await closed
  }
  t.ok(existsSync(path))
})

t.test('the last one to leave a Unix socket that was handed over takes its file away', { skip }, async t => {
  const path = join(folder(t), 'socket')
  const { listeners, listen } = setUp(t, {}, { inherited: [passedOne({ path }, '', boundUnixSocket(path, SOCK_STREAM))] })
  const server = await listen({ path })
  t.equal(server.address(), path)
  t.ok(existsSync(path))
  await listeners.leave(server, () => {
    t.notOk(existsSync(path), 'before it closes: afterwards it may be the file of somebody else')
    stopListening(server)
  })
  t.notOk(existsSync(path))
  await listeners.leave(server, () => {})
})

t.test('a file that the service manager has made is its own, and a name in the abstract namespace is none', { skip }, async t => {
  const path = join(folder(t), 'socket')
  const maker = createServer()
  await once(maker.listen(path), 'listening')
  t.teardown(() => maker.close())
  for (const one of [inheritedOne(33, { path }), passedOne({ path }, 'web.socket'), passedOne({ path: '\0web' })]) {
    const { listeners } = setUp(t, {}, { inherited: [one] })
    const server = createServer()
    listeners.prepare(server, { path: (one.at as { path: string }).path }, true)
    t.ok(one.taken)
    await listeners.leave(server, () => {})
    t.ok(existsSync(path))
  }
})

t.test('a passed listener of a port that is shared stays in its group', { skip }, async t => {
  const { fd, at } = bound()
  let detached = 0
  const calls = nativeWith({
    setOption (fd, option, value) {
      if (option === 'SO_DETACH_REUSEPORT_BPF') detached++
      native.setOption(fd, option, value)
    }
  })
  const { listen, warnings } = setUp(t, { reusePort: true }, { calls, inherited: [passedOne(at, '', fd)] })
  t.equal(descriptorOf(await listen({ host: at.address, port: at.port })), fd)
  await eventually(() => detached === 1, 'it has joined')
  t.same(warnings(), [])
})
