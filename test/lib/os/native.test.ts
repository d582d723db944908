import t from 'tap'
import koffi from 'koffi'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { errnoOf, loadNative, Native } from '../../../lib/os/native.ts'
import { socketPair } from '../../helpers/socket-pair.ts'
import { native, overfill, refused, skip } from '../../helpers/unit-native.ts'

const linux = { platform: 'linux', arch: 'x64' }
const AF_INET = 2
const SOCK_STREAM = 1
const closed = 2 ** 31 - 1

t.test('where koffi is installed the system calls can be made', { skip }, async t => {
  t.ok(await loadNative() instanceof Native)
})

t.test('what keeps koffi from being loaded is said, with what would help', async t => {
  const cases: Array<[load: () => never, said: string]> = [
    [() => { throw Object.assign(new Error('no'), { code: 'ERR_MODULE_NOT_FOUND' }) }, 'koffi cannot be loaded (ERR_MODULE_NOT_FOUND; npm install koffi)'],
    [() => { throw new Error('Cannot find the native Koffi module') }, 'koffi cannot be loaded (Cannot find the native Koffi module; npm install koffi, and leave it out of a bundle)'],
    [() => { throw Object.assign(new Error('no'), { code: 'ERR_DLOPEN_DISABLED' }) }, 'koffi cannot be loaded (ERR_DLOPEN_DISABLED; start node with --allow-addons)']
  ]
  for (const [load, said] of cases) {
    t.equal(await loadNative(load, linux), said)
    t.equal(await loadNative(async () => load(), linux), said)
  }
})

t.test('a koffi that does not find the C library is no system calls', async t => {
  const broken = { load () { throw new Error('no such library') } } as unknown as typeof koffi
  t.equal(await loadNative(async () => ({ default: broken }), linux), 'koffi cannot be loaded (no such library; npm install koffi, and leave it out of a bundle)')
})

t.test('where there is no table koffi is not even loaded', async t => {
  for (const [platform, arch] of [['win32', 'x64'], ['linux', 'mips'], ['aix', 'ppc64']] as const) {
    t.equal(await loadNative(() => t.fail('it was loaded') as never, { platform, arch }), `socket options cannot be set on ${platform}-${arch}`)
  }
})

t.test('an option that the platform does not have is an error with its name', { skip }, async t => {
  const darwin = new Native(koffi, { ...native.platform, options: {} })
  t.equal(darwin.has('TCP_USER_TIMEOUT'), false)
  t.equal(native.has('TCP_USER_TIMEOUT'), true)
  t.throws(() => darwin.setOption(0, 'TCP_USER_TIMEOUT', 1), { code: 'FST_DRAIN_SYSTEM_CALL', errno: 'ENOPROTOOPT', message: /TCP_USER_TIMEOUT/ })
  t.throws(() => darwin.attachFilter(0, new Uint8Array(8)), { code: 'FST_DRAIN_SYSTEM_CALL', errno: 'ENOPROTOOPT' })
})

t.test('what the kernel refuses is an error with the call and the name of the reason', { skip }, async t => {
  const file = openSync('/dev/null', 'r')
  t.teardown(() => closeSync(file))
  const cases: Array<[call: () => unknown, message: string]> = [
    [() => native.setOption(closed, 'SO_KEEPALIVE', 1), 'setsockopt(SO_KEEPALIVE) failed: EBADF'],
    [() => native.setOption(file, 'SO_KEEPALIVE', 1), 'setsockopt(SO_KEEPALIVE) failed: ENOTSOCK'],
    [() => native.getInt(file, 'SO_TYPE'), 'getsockopt(SO_TYPE) failed: ENOTSOCK'],
    [() => native.attachFilter(file, new Uint8Array(8)), 'setsockopt(SO_ATTACH_REUSEPORT_CBPF) failed: ENOTSOCK'],
    [() => native.ioctl(closed, 0x5411), 'ioctl(21521) failed: EBADF'],
    [() => native.addressOf(closed), 'getsockname() failed: EBADF'],
    [() => native.socket(AF_INET, 77), 'socket() failed: EINVAL'],
    [() => native.bind(closed, new Uint8Array(16), 16), 'bind() failed: EBADF'],
    [() => native.sendTo(closed, new Uint8Array(1), 0, new Uint8Array(16)), 'sendto() failed: EBADF']
  ]
  for (const [call, message] of cases) {
    t.throws(call, { code: 'FST_DRAIN_SYSTEM_CALL', errno: message.split(': ')[1], message: `fastify-drain: ${message}` }, message)
  }
})

t.test('an option is read as it was set', { skip }, async t => {
  const fd = native.socket(AF_INET, SOCK_STREAM)
  t.teardown(() => native.close(fd))
  t.ok(fd > 2)
  t.equal(native.getInt(fd, 'SO_TYPE'), SOCK_STREAM)
  t.equal(native.getInt(fd, 'SO_REUSEADDR'), 0)
  native.setOption(fd, 'SO_REUSEADDR', 1)
  t.equal(native.getInt(fd, 'SO_REUSEADDR'), 1)
  native.setOption(fd, 'SO_LINGER', new Uint8Array(new Int32Array([1, 7]).buffer))
  t.same([...new Int32Array(native.getOption(fd, 'SO_LINGER', 8).buffer)], [1, 7])
})

t.test('a descriptor that was closed is free again', { skip }, async t => {
  const fd = native.socket(AF_INET, SOCK_STREAM)
  native.close(fd)
  t.throws(() => native.getInt(fd, 'SO_TYPE'), { code: 'FST_DRAIN_SYSTEM_CALL', errno: 'EBADF' })
})

t.test('the address of a socket is as long as its family says', { skip }, async t => {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const address = native.addressOf(descriptorOf(server) as number)
  t.equal(address.length, 16)
  t.same([...address.subarray(4, 8)], [127, 0, 0, 1])
  t.equal(new DataView(address.buffer).getUint16(2), (server.address() as AddressInfo).port)
})

t.test('a host is looked up, and what was made of its address comes back', { skip }, async t => {
  const hints = { flags: 1, socktype: SOCK_STREAM }
  t.equal(native.resolve('127.0.0.1', 80, hints, ({ family, addrlen }) => `${family} ${addrlen}`), '2 16')
  t.equal(native.resolve('::1', 80, hints, ({ family, addrlen }) => `${family} ${addrlen}`), '10 28')
  t.equal(native.resolve('not a host name', 80, hints, () => 'found'), null)
  t.throws(() => native.resolve('127.0.0.1', 80, hints, () => { throw refused('bind()', 'EACCES') }), { code: 'FST_DRAIN_SYSTEM_CALL', errno: 'EACCES' })
})

t.test('errnoOf() tells the reason of a refused system call, and of nothing else', async t => {
  t.equal(errnoOf(refused('bind()', 'EACCES')), 'EACCES')
  t.equal(errnoOf(new Error('other')), undefined)
})

t.test('a socket is writable as long as the kernel has room', { skip }, async t => {
  const { socket, client } = await socketPair(t)
  const fd = descriptorOf(socket) as number
  t.equal(native.isWritable(fd), true)
  client.socket.pause()
  await overfill(socket, () => native.ioctl(fd, native.platform.unacknowledged as number))
  const dontWait = native.platform.dontWait
  let sent = 0
  const chunk = Buffer.alloc(65_536, 'x')
  // To the last byte.
  for (let length = chunk.length; length >= 1;) {
    try {
      sent += native.send(fd, chunk.subarray(0, length), dontWait)
    } catch (error) {
      t.equal(errnoOf(error), 'EAGAIN')
      length = Math.floor(length / 2)
    }
  }
  t.ok(sent > 0)
  t.equal(native.isWritable(fd), false)
})
