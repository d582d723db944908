import t from 'tap'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { systemClock, type Clock } from '../../../lib/clock.ts'
import { stopListening } from '../../../lib/listen/leave-listener.ts'
import { joinGroup, leaveGroup } from '../../../lib/listen/reuse-port.ts'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { socketInode } from '../../../lib/os/proc.ts'
import { bindShared, steerTo } from '../../../lib/os/reuse-port.ts'
import { Sockets } from '../../../lib/os/sockets.ts'
import { takeName } from '../../../lib/os/unix.ts'
import { hasIPv6 } from '../../helpers/drain-localhost.ts'
import { readReally, replaceFs } from '../../helpers/unit-fs.ts'
import { group } from '../../helpers/unit-group.ts'
import { native, nativeWith, skip } from '../../helpers/unit-native.ts'

interface Teardown { teardown (fn: () => unknown): void }

const env = { native, sockets: new Sockets(skip === false ? native : null), clock: systemClock }

const fd = (server: Server): number => descriptorOf(server) as number

const lockOf = (port: number): (() => void) | null => takeName(native, `fastify-drain/reuse-port/127.0.0.1:${port}`)

function leave (server: Server, given: Partial<typeof env> = {}): Promise<void> {
  return leaveGroup(server, () => stopListening(server), { ...env, ...given })
}

/** A clock on which waits of more than a second are over at once. */
const impatient: Clock = {
  ...systemClock,
  after (ms, fn) {
    if (ms < 1000) return systemClock.after(ms, fn)
    fn()
    return () => {}
  }
}

/** System calls that count the programs that are attached. */
function counted () {
  let count = 0
  const calls = nativeWith({
    attachFilter (fd, filter) {
      count++
      native.attachFilter(fd, filter)
    }
  })
  return { calls, programs: () => count }
}

/** A clock on which 100 ms pass with every look at it. */
function hasty (): { now (): number, clock: Clock } {
  let now = 0
  return { now: () => now, clock: { ...systemClock, now: () => { now += 100; return now } } }
}

for (const slot of [0, 1, 2]) {
  t.test(`whoever leaves from slot ${slot} of a group gets nobody any more, and the others share what comes`, { skip }, async t => {
    const { servers, visit } = await group(t, 3)
    const leaver = servers[slot] as Server
    const { calls, programs } = counted()
    await leave(leaver, { native: calls })
    t.notOk(leaver.listening)
    // The last slot is the one that everything is sent to first.
    t.equal(programs(), slot === 2 ? 2 : 1)
    const got = await visit(60)
    t.equal(got[slot], 0)
    t.equal(got.reduce((sum, count) => sum + count), 60)
    t.same([leaver.listenerCount('drop'), leaver.listenerCount('connection')], [0, 1], 'no listener is left behind')
  })
}

t.test('the last one of a group steers nobody', { skip }, async t => {
  const { servers: [only], port } = await group(t, 1)
  const silent = nativeWith({ attachFilter () { t.fail('nobody is there') } })
  await leave(only as Server, { native: silent })
  t.notOk(only?.listening)
  const free = lockOf(port)
  t.type(free, 'function', 'the lock is free')
  free?.()
})

t.test('whoever joins takes part, whatever has been attached before', { skip }, async t => {
  const { servers: [first, second], visit } = await group(t, 2)
  steerTo(native, fd(first as Server), 0)
  t.same(await visit(20), [20, 0])
  await joinGroup(second as Server, env)
  t.ok((await visit(60)).every(count => count > 0))
})

t.test('a server that takes no more connections finds its own slot, too', { skip }, async t => {
  const { servers, visit } = await group(t, 2)
  const [first, second] = servers as [Server, Server]
  // From the second connection on they are dropped.
  second.maxConnections = 1
  const open: unknown[] = []
  second.on('connection', socket => { open.push(socket.setTimeout(0)) })
  steerTo(native, fd(first), 1)
  const client = connect((second.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => client.destroy())
  await once(second, 'connection')
  const { calls, programs } = counted()
  await leave(second, { native: calls })
  t.equal(programs(), 2)
  t.notOk(second.listening)
  t.same(await visit(10), [10, 0])
})

for (const [host, probed, others] of [
  ['0.0.0.0', '127.0.0.1', ['127.0.0.1', '127.0.0.2', '127.0.0.3']],
  ['::', '::1', ['::1']]
] as const) {
  t.test(`who listens on ${probed} with the port of a group on ${host} is not taken for a member`, { skip: hasIPv6() ? skip : 'there is no ::1 here' }, async t => {
    const { servers: [first, second], port } = await group(t, 3, host)
    await leave(first as Server)
    t.notOk(first?.listening)

    const visited: string[] = []
    for (const other of others) {
      const stranger = createServer(socket => { visited.push(other); socket.destroy() })
      await once(stranger.listen({ fd: bindShared(native, other, port, false) as number }), 'listening')
      t.teardown(() => stranger.close())
    }
    await t.rejects(leave(second as Server), { message: `somebody else listens on port ${port} of ${others.join(', ')}` })
    t.ok(second?.listening, 'that is up to the caller')
    t.same(visited, [])
  })
}

t.test('of several addresses of a group the first is probed that nobody else has', { skip }, async t => {
  const { servers: [first], port } = await group(t, 2, '0.0.0.0')
  const stranger = createServer(() => t.fail('somebody came'))
  await once(stranger.listen({ fd: bindShared(native, '127.0.0.1', port, false) as number }), 'listening')
  t.teardown(() => stranger.close())
  await leave(first as Server)
  t.notOk(first?.listening)
})

t.test('a group that cannot be reached by its address is left as it was', { skip }, async t => {
  const { servers: [first], visit, port } = await group(t, 2)
  await t.rejects(leave(first as Server, { clock: impatient }), { message: /^no connection to 127\.0\.0\.1 within \d+ ms$/ })
  t.ok(first?.listening, 'that is up to the caller')
  t.ok((await visit(60)).every(count => count > 0), 'the kernel decides again')
  const free = lockOf(port)
  t.type(free, 'function', 'the lock is free')
  free?.()
})

t.test('a listener that /proc does not show is left alone', { skip }, async t => {
  const { servers: [first], visit } = await group(t, 2)
  replaceFs(t, { '/proc/net/tcp': 'sl\n' })
  await t.rejects(leave(first as Server), { message: /\/proc\/net/ })
  t.ok((await visit(60)).every(count => count > 0))
})

/** Lets /proc show handshakes that have begun at this server and are not over, as long as the function says so. */
function unfinished (t: Teardown, server: Server, count: () => number): void {
  const inode = socketInode(fd(server)) as string
  const table = (): string => readReally('/proc/net/tcp')
    .replace(new RegExp(` ${inode} \\d+ `), ` ${inode} ${1 + count()} `)
  replaceFs(t, { '/proc/net/tcp': table })
}

// From the last slot: its own probe comes to it at once, and what is left to wait for are those handshakes.
t.test('row 18: handshakes that have begun are waited for', { skip }, async t => {
  const { servers: [, last] } = await group(t, 2)
  let looks = 0
  unfinished(t, last as Server, () => ++looks < 8 ? 1 : 0)
  // Time stands still, whatever this machine does meanwhile.
  await leave(last as Server, { clock: { ...systemClock, now: () => 0 } })
  t.ok(looks >= 8, `${looks} looks`)
  t.notOk(last?.listening)
})

t.test('row 18: handshakes that nobody finishes are not waited for longer than a round trip takes', { skip }, async t => {
  const { servers: [, last] } = await group(t, 2)
  unfinished(t, last as Server, () => 1)
  const { now, clock } = hasty()
  await leave(last as Server, { clock })
  t.notOk(last?.listening)
  t.ok(now() > 1000 && now() < 10_000, `${now()} ms`)
})

t.test('connections that keep coming are not waited for for ever', { skip }, async t => {
  const { servers: [first], visit } = await group(t, 2)
  unfinished(t, first as Server, () => 1)
  const { clock } = hasty()
  const sockets = Object.assign(Object.create(env.sockets), { waiting: () => 1 })
  await t.rejects(leave(first as Server, { clock, sockets }), { message: /have kept coming for 5000 ms/ })
  t.ok(first?.listening)
  t.ok((await visit(60)).every(count => count > 0), 'the kernel decides again')
})

t.test('a server that is closed meanwhile is an error, and the lock is free', { skip }, async t => {
  const { servers: [first], port } = await group(t, 2)
  const leaving = leave(first as Server)
  first?.close()
  await t.rejects(leaving)
  const free = lockOf(port)
  t.type(free, 'function')
  free?.()
})
