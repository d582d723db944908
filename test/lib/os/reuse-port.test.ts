import t from 'tap'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { bindShared, steerTo, steerToFirst, stopSteering } from '../../../lib/os/reuse-port.ts'
import { hasIPv6 } from '../../helpers/drain-localhost.ts'
import { group } from '../../helpers/unit-group.ts'
import { native, nativeWith, refused, skip } from '../../helpers/unit-native.ts'

const withoutIPv6 = hasIPv6() ? skip : 'there is no ::1 here'

const open = (): number => readdirSync('/proc/self/fd').length

/** The descriptors of the servers of a group. */
function fdsOf (servers: Server[]): number[] {
  return servers.map(server => descriptorOf(server) as number)
}

t.test('several sockets can have one port, and say so', { skip }, async t => {
  const first = bindShared(native, '127.0.0.1', 0, false) as number
  t.teardown(() => native.close(first))
  const port = new DataView(native.addressOf(first).buffer).getUint16(2)
  t.ok(port > 0)
  const second = bindShared(native, '127.0.0.1', port, false) as number
  t.teardown(() => native.close(second))
  for (const fd of [first, second]) {
    t.equal(native.getInt(fd, 'SO_TYPE'), 1)
    t.equal(native.getInt(fd, 'SO_REUSEPORT'), 1)
    t.equal(native.getInt(fd, 'SO_REUSEADDR'), 1)
    t.equal(native.getInt(fd, 'SO_ACCEPTCONN'), 0)
    // O_CLOEXEC: a process that we start must not stay in the group.
    t.equal(parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '', 8) & 0o2000000, 0o2000000)
  }
})

t.test('a socket on every IPv6 address takes IPv4, too, unless it shall not', { skip: withoutIPv6 }, async t => {
  for (const [ipv6Only, expected] of [[false, 0], [true, 1]] as const) {
    const fd = bindShared(native, '::', 0, ipv6Only) as number
    t.teardown(() => native.close(fd))
    t.equal(native.getInt(fd, 'IPV6_V6ONLY'), expected)
  }
})

t.test('a port that somebody has for himself is an error, and nothing is left open', { skip }, async t => {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const before = open()
  t.throws(() => bindShared(native, '127.0.0.1', (server.address() as AddressInfo).port, false), {
    code: 'FST_DRAIN_SYSTEM_CALL', errno: 'EADDRINUSE', message: /bind/
  })
  t.equal(open(), before)
})

t.test('a host that cannot be looked up has no socket', { skip }, async t => {
  const before = open()
  t.equal(bindShared(native, 'not a host name', 0, false), null)
  t.equal(open(), before)
})

for (const host of ['127.0.0.1', '::1']) {
  t.test(`new connections go to the slot that is chosen, ${host}`, { skip: host === '::1' ? withoutIPv6 : skip }, async t => {
    const { servers, visit } = await group(t, 3, host)
    const fds = fdsOf(servers)
    for (const slot of [1, 0, 2]) {
      steerTo(native, fds[0] as number, slot)
      t.same(await visit(20), fds.map((_fd, i) => i === slot ? 20 : 0), `slot ${slot}`)
    }
  })

  t.test(`new connections go to the first slots at random, ${host}`, { skip: host === '::1' ? withoutIPv6 : skip }, async t => {
    const { servers, visit } = await group(t, 3, host)
    const fds = fdsOf(servers)
    steerToFirst(native, fds[2] as number, 2)
    const [first = 0, second = 0, last] = await visit(60)
    t.equal(last, 0)
    t.ok(first > 0 && second > 0, `${first} and ${second}`)
  })
}

t.test('afterwards the kernel decides again', { skip }, async t => {
  const { servers, visit } = await group(t, 2)
  const fds = fdsOf(servers)
  steerTo(native, fds[0] as number, 0)
  t.same(await visit(20), [20, 0])
  // Any member may do that.
  stopSteering(native, fds[1] as number)
  const [first = 0, second = 0] = await visit(60)
  t.ok(first > 0 && second > 0, `${first} and ${second}`)
})

t.test('where nothing was attached there is nothing to detach', { skip }, async t => {
  const { servers } = await group(t, 2)
  const fds = fdsOf(servers)
  stopSteering(native, fds[0] as number)
  steerTo(native, fds[0] as number, 1)
  stopSteering(native, fds[0] as number)
  stopSteering(native, fds[0] as number)
})

t.test('a kernel that cannot steer is an error', { skip }, async t => {
  const fd = bindShared(native, '127.0.0.1', 0, false) as number
  t.teardown(() => native.close(fd))
  const old = nativeWith({ setOption () { throw refused('setsockopt(SO_DETACH_REUSEPORT_BPF)', 'ENOPROTOOPT') } })
  t.throws(() => stopSteering(old, fd), { code: 'FST_DRAIN_SYSTEM_CALL', errno: 'ENOPROTOOPT' })
  t.throws(() => steerTo(native, 2 ** 31 - 1, 0), { code: 'FST_DRAIN_SYSTEM_CALL', errno: 'EBADF' })
  t.throws(() => steerToFirst(native, 2 ** 31 - 1, 2), { code: 'FST_DRAIN_SYSTEM_CALL', errno: 'EBADF' })
})
