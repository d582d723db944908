import t from 'tap'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { isLittleEndian } from '../../../lib/os/native.ts'
import { Sockets } from '../../../lib/os/sockets.ts'
import { eventually } from '../../helpers/app.ts'
import type { RawClient } from '../../helpers/raw-client.ts'
import { discardAll, socketPair } from '../../helpers/socket-pair.ts'
import { keepAliveOf, native, nativeWith, overfill, refused, skip } from '../../helpers/unit-native.ts'

interface Teardown { teardown (fn: () => unknown): void }

const plain = new Sockets(null)
const able = new Sockets(skip === false ? native : null)
const refusing = new Sockets(skip === false ? nativeWith({ setOption () { throw refused('setsockopt()', 'EINVAL') } }) : null)

for (const [how, sockets, skipped] of [
  ['without system calls', plain, false],
  ['with system calls', able, skip],
  ['where the kernel refuses', refusing, skip]
] as const) {
  t.test(`row 29: after reset() a destroyed socket sends RST, ${how}`, { skip: skipped }, async t => {
    const { socket, client } = await socketPair(t)
    sockets.reset(socket)
    socket.destroy()
    t.equal(await client.closed(), 'ECONNRESET')
  })

  t.test(`row 29: RST is sent although there is data that the peer has not read, ${how}`, { skip: skipped }, async t => {
    const { socket, client } = await socketPair(t)
    await fill(socket, client)
    await resetNow(sockets, socket)
    t.match(await errorOfWrite(client), /^(ECONNRESET|EPIPE)$/)
  })

  t.test(`row 29: after our FIN was sent RST is sent, too, ${how}`, { skip: skipped }, async t => {
    const { socket, client } = await socketPair(t)
    await new Promise<void>(resolve => { socket.end(resolve) })
    await client.fin()
    await resetNow(sockets, socket)
    t.match(await errorOfWrite(client), /^(ECONNRESET|EPIPE)$/)
  })

  t.test(`a socket that has gone already is left alone, ${how}`, { skip: skipped }, async t => {
    const { socket } = await socketPair(t)
    socket.destroy()
    sockets.reset(socket)
    socket.destroy()
    t.ok(socket.destroyed)
  })

  t.test(`a socket that cannot be reset is left alone, ${how}`, { skip: skipped }, async t => {
    const socket = {} as Socket
    sockets.reset(socket)
    t.same(socket, {})
  })
}

t.test('row 29: without system calls a socket whose shutdown is pending is closed in the plain way', async t => {
  const { socket, client, closed } = await pendingShutdown(t)
  plain.reset(socket)
  t.notOk('resetAndClosing' in socket && socket.resetAndClosing, 'Node would leak the descriptor')
  socket.destroy()
  t.equal(await closed, false, 'without an error')
  client.socket.resume()
  await client.fin()
})

t.test('row 29: with system calls a socket whose shutdown is pending sends RST', { skip }, async t => {
  const { socket, client, closed } = await pendingShutdown(t)
  able.reset(socket)
  socket.destroy()
  t.equal(await closed, false, 'without an error')
  t.match(await errorOfWrite(client), /^(ECONNRESET|EPIPE)$/)
})

t.test('what the peer has not acknowledged is counted', { skip }, async t => {
  const { socket, client } = await socketPair(t)
  t.equal(able.unacknowledged(socket), 0)
  await fill(socket, client)
  const stuck = able.unacknowledged(socket) as number
  t.ok(stuck > 0, `${stuck} bytes`)
  t.ok(stuck < 16_000_000, 'what the kernel has not taken yet is not counted')
  client.socket.resume()
  await eventually(() => able.unacknowledged(socket) === 0, 'everything was acknowledged')
})

t.test('our FIN is not counted as a byte that the peer has not acknowledged', { skip }, async t => {
  const { socket, client } = await socketPair(t)
  client.socket.pause()
  await overfill(socket, () => able.unacknowledged(socket))
  const before = able.unacknowledged(socket) as number
  await new Promise<void>(resolve => { socket.end(resolve) })
  t.equal(native.ioctl(descriptorOf(socket) as number, 0x5411), before + 1, 'the kernel counts it')
  t.equal(able.unacknowledged(socket), before)
  client.socket.resume()
  await client.fin()
  await eventually(() => native.ioctl(descriptorOf(socket) as number, 0x5411) === 0, 'the FIN was acknowledged')
  t.equal(able.unacknowledged(socket), 0)
})

t.test('a FIN alone is nothing that the peer could be too far gone to acknowledge', { skip }, async t => {
  const { socket } = await socketPair(t)
  await new Promise<void>(resolve => { socket.end(resolve) })
  const asking = new Sockets(nativeWith({ ioctl: () => 1, getOption () { throw new Error('asked whether the peer is gone') } }))
  t.equal(asking.unacknowledged(socket), 0)
})

t.test('a FIN that waits behind the data is no byte yet', { skip }, async t => {
  const { socket } = await pendingShutdown(t)
  const queued = native.ioctl(descriptorOf(socket) as number, 0x5411)
  t.ok(queued > 0)
  t.equal(able.unacknowledged(socket), queued)
})

t.test('after the RST of the peer there is nothing left for it to acknowledge', { skip }, async t => {
  // Nobody reads, so that Node does not hear of the RST.
  const server = createServer({ pauseOnConnect: true })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => client.destroy())
  const [socket] = await once(server, 'connection') as [Socket]
  t.teardown(() => socket.destroy())
  const fd = descriptorOf(socket) as number
  t.throws(() => { for (;;) native.send(fd, Buffer.alloc(65536), native.platform.dontWait) }, /EAGAIN/)
  t.ok(able.unacknowledged(socket) as number > 0)
  client.resetAndDestroy()
  await eventually(() => able.unacknowledged(socket) === 0, 'nobody is left to acknowledge anything')
  t.ok(native.ioctl(fd, 0x5411) > 0, 'the kernel goes on counting')
})

t.test('what a peer on a Unix socket has not read is unknown', { skip }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const server = createServer()
  await once(server.listen(join(folder, 'socket')), 'listening')
  t.teardown(() => server.close())
  const client = connect(join(folder, 'socket'))
  t.teardown(() => client.destroy())
  const [socket] = await once(server, 'connection') as [Socket]
  t.teardown(() => socket.destroy())
  t.ok(native.ioctl(descriptorOf(socket) as number, 0x5411) >= 0, 'the kernel would tell of its own memory')
  t.equal(able.unacknowledged(socket), null)
})

t.test('where the system does not tell, nobody knows what is not acknowledged', { skip }, async t => {
  const { socket } = await socketPair(t)
  t.equal(plain.unacknowledged(socket), null)
  t.equal(new Sockets(nativeWith({ platform: { ...native.platform, unacknowledged: null } })).unacknowledged(socket), null)
  t.equal(new Sockets(nativeWith({ ioctl () { throw refused('ioctl()', 'ENOTTY') } })).unacknowledged(socket), null)
  socket.destroy()
  t.equal(able.unacknowledged(socket), null)
})

t.test('the connections that wait to be accepted are counted', { skip }, async t => {
  const server = await listening(t)
  t.equal(able.waiting(server), 0)
  const accepted = new Promise<void>(resolve => {
    let count = 0
    server.on('connection', socket => { socket.destroy(); if (++count === 3) resolve() })
  })
  for (let i = 0; i < 3; i++) connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
  await new Promise<void>(resolve => { process.nextTick(resolve) })
  // The kernel shakes hands while our event loop stands still.
  for (let i = 0; i < 1000 && able.waiting(server) !== 3; i++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  t.equal(able.waiting(server), 3)
  await accepted
  t.equal(able.waiting(server), 0)
})

t.test('where the system does not tell, nobody knows how many wait', { skip }, async t => {
  const server = await listening(t)
  t.equal(plain.waiting(server), null)
  t.equal(new Sockets(nativeWith({ has: () => false })).waiting(server), null)
  server.close()
  t.equal(able.waiting(server), null)
})

t.test('TCP keepalive of a listener is that of the sockets that it accepts', { skip }, async t => {
  t.equal(able.inherits, true)
  const server = await listening(t)
  t.equal(able.keepAlive(server, { idle: 3000, interval: 2000, count: 5 }), true)
  t.match(keepAliveOf(server), { on: 1, idle: 3, interval: 2, count: 5, userTimeout: 0 })
  t.match(keepAliveOf(await acceptedBy(t, server)), { on: 1, idle: 3, interval: 2, count: 5, userTimeout: 0 })

  t.equal(able.keepAlive(server, { idle: 4000, interval: 1000, count: 6, userTimeout: 7500 }), true)
  t.match(keepAliveOf(await acceptedBy(t, server)), { on: 1, idle: 4, interval: 1, count: 6, userTimeout: 7500 })
})

t.test('TCP keepalive can be set on one socket', { skip }, async t => {
  const { socket } = await socketPair(t)
  t.equal(able.keepAlive(socket, { idle: 32_767_000, interval: 32_767_000, count: 127, userTimeout: 1 }), true)
  t.match(keepAliveOf(socket), { on: 1, idle: 32_767, interval: 32_767, count: 127, userTimeout: 1 })
})

t.test('a userTimeout that the platform does not have is left out', { skip }, async t => {
  const { socket } = await socketPair(t)
  const sockets = new Sockets(nativeWith({ has: option => option !== 'TCP_USER_TIMEOUT' }))
  t.equal(sockets.keepAlive(socket, { idle: 3000, interval: 2000, count: 5, userTimeout: 1000 }), true)
  t.match(keepAliveOf(socket), { on: 1, idle: 3, userTimeout: 0 })
})

t.test('without system calls, or without a descriptor, TCP keepalive is not set', async t => {
  const { socket } = await socketPair(t)
  t.equal(plain.inherits, false)
  t.equal(plain.keepAlive(socket, { idle: 3000, interval: 2000, count: 5 }), false)
  socket.destroy()
  t.equal(able.keepAlive(socket, { idle: 3000, interval: 2000, count: 5 }), false)
})

t.test('an option that the kernel refuses is an error with its name and the reason', { skip }, async t => {
  const { socket } = await socketPair(t)
  t.throws(() => able.keepAlive(socket, { idle: 3000, interval: 2000, count: 128 }), {
    code: 'FST_DRAIN_SYSTEM_CALL',
    errno: 'EINVAL',
    message: 'fastify-drain: setsockopt(TCP_KEEPCNT) failed: EINVAL'
  })
})

t.test('SO_REUSEADDR is read back', { skip }, async t => {
  const server = await listening(t)
  t.equal(able.reusesAddress(server), true)
  native.setOption(descriptorOf(server) as number, 'SO_REUSEADDR', 0)
  t.equal(able.reusesAddress(server), false)
  t.equal(plain.reusesAddress(server), null)
  server.close()
  t.equal(able.reusesAddress(server), null)
})

async function listening (t: Teardown): Promise<Server> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return server
}

async function acceptedBy (t: Teardown, server: Server): Promise<Socket> {
  const connected = once(server, 'connection') as Promise<[Socket]>
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => client.destroy())
  const [socket] = await connected
  t.teardown(() => socket.destroy())
  return socket
}

/** More than the kernel takes for a peer that does not read. */
async function fill (socket: Socket, client: RawClient): Promise<void> {
  client.socket.pause()
  socket.write(Buffer.alloc(16_000_000, 'x'))
  await new Promise(resolve => setTimeout(resolve, 100))
  if (socket.writableLength === 0) throw new Error('the data is not stuck')
}

async function pendingShutdown (t: Teardown) {
  const { socket, client } = await socketPair(t)
  discardAll(socket)
  await fill(socket, client)
  socket.end()
  return { socket, client, closed: new Promise<boolean>(resolve => { socket.on('close', resolve) }) }
}

async function resetNow (sockets: Sockets, socket: Socket): Promise<void> {
  const closed = once(socket, 'close')
  sockets.reset(socket)
  socket.destroy()
  await closed
}

/** Where no RST has come a first write succeeds. */
async function errorOfWrite ({ socket }: RawClient): Promise<string> {
  return new Promise(resolve => {
    socket.write('x', error => { resolve((error as NodeJS.ErrnoException | null)?.code ?? 'no error') })
  })
}

t.test('what is written past Node goes out at once, behind what Node wrote', { skip }, async t => {
  const { socket, client } = await socketPair(t)
  t.equal(able.writeNow(socket, Buffer.from('too early')), false, 'the first byte is Node\'s')
  socket.write('first ')
  t.equal(able.writeNow(socket, Buffer.from('second ')), true)
  socket.write('third')
  await client.until(/third/)
  t.equal(client.received, 'first second third')
})

t.test('nothing is written past Node as long as something waits', { skip }, async t => {
  const { socket, client } = await socketPair(t)
  client.socket.pause()
  socket.write(Buffer.alloc(24 * 2 ** 20, 'x'))
  t.equal(able.writeNow(socket, Buffer.from('!')), false, 'in the queue of Node')
  client.socket.resume()
  await eventually(() => able.writeNow(socket, Buffer.from('!')) === true, 'there was room')
  socket.end()
  await client.fin()
  t.equal(client.received.length, 24 * 2 ** 20 + 1)
  t.ok(client.received.endsWith('x!'))
})

t.test('nothing is written past Node when the kernel has little room', { skip }, async t => {
  const { socket } = await socketPair(t)
  socket.write('first')
  for (const isWritable of [() => false, () => { throw refused('poll()', 'EBADF') }]) {
    const sent: number[] = []
    t.equal(new Sockets(nativeWith({ isWritable, send: (_fd, { length }) => sent.push(length) })).writeNow(socket, Buffer.from('!')), false)
    t.same(sent, [])
  }
})

t.test('a connection of which only a part could be written past Node is broken, and closed', { skip }, async t => {
  const { socket } = await socketPair(t)
  socket.write('first')
  t.equal(new Sockets(nativeWith({ send: () => 5 })).writeNow(socket, Buffer.alloc(17)), true)
  t.ok(socket.destroyed)
})

t.test('without system calls, and without a descriptor, nothing can be written past Node', async t => {
  const { socket } = await socketPair(t)
  socket.write('first')
  t.notOk(plain.canWriteNow)
  t.ok(able.canWriteNow)
  t.equal(plain.writeNow(socket, Buffer.from('!')), false)
  socket.destroy()
  t.equal(able.writeNow(socket, Buffer.from('!')), false)
})

t.test('how long a connection has been silent is what the kernel says, whoever spoke last', { skip }, async t => {
  const { socket, client } = await socketPair(t)
  discardAll(socket)
  for (const speak of [() => client.write('x'), () => socket.write('x')]) {
    await eventually(() => able.silence(socket) >= 40, 'nobody spoke')
    speak()
    await eventually(() => able.silence(socket) < 40, 'somebody has spoken')
  }
})

t.test('where nobody knows how long a connection has been silent, it has not', { skip }, async t => {
  const { socket } = await socketPair(t)
  await eventually(() => able.silence(socket) >= 20, 'nobody spoke')
  t.equal(plain.silence(socket), 0)
  t.equal(new Sockets(nativeWith({ has: option => option !== 'TCP_INFO' })).silence(socket), 0)
  t.equal(new Sockets(nativeWith({ getOption () { throw refused('getsockopt(TCP_INFO)', 'EOPNOTSUPP') } })).silence(socket), 0)
  socket.destroy()
  t.equal(able.silence(socket), 0)
})

// struct tcp_info: what the kernel writes into its first fields.
function tcpInfo ({ state = 1, unacked = 0, lastAckReceived = 0 }): DataView {
  const info = new DataView(new ArrayBuffer(60))
  info.setUint8(0, state)
  info.setUint32(24, unacked, isLittleEndian)
  info.setUint32(56, lastAckReceived, isLittleEndian)
  return info
}

t.test('how long nothing has come from a peer is told while packets are in flight to it', { skip }, async t => {
  const { socket } = await socketPair(t)
  const told = (info: Parameters<typeof tcpInfo>[0]): number | null => new Sockets(nativeWith({ getOption: () => tcpInfo(info) })).inFlight(socket)
  t.equal(told({ unacked: 1, lastAckReceived: 70_000 }), 70_000)
  t.equal(told({ unacked: 0, lastAckReceived: 70_000 }), null, 'none are')
  t.equal(told({ state: 7, unacked: 3, lastAckReceived: 5 }), null, 'the peer has reset it')
})

t.test('nothing is in flight to a peer that acknowledges, or has no room', { skip }, async t => {
  const { socket, client } = await socketPair(t)
  t.equal(able.inFlight(socket), null)
  await fill(socket, client)
  // Its kernel is asked for room after 200 ms.
  await new Promise(resolve => setTimeout(resolve, 300))
  t.equal(able.inFlight(socket), null)
})

t.test('where nobody knows what is in flight, nothing is', { skip }, async t => {
  const { socket } = await socketPair(t)
  t.equal(plain.inFlight(socket), null)
  t.equal(new Sockets(nativeWith({ has: option => option !== 'TCP_INFO' })).inFlight(socket), null)
  t.equal(new Sockets(nativeWith({ getOption () { throw refused('getsockopt(TCP_INFO)', 'EOPNOTSUPP') } })).inFlight(socket), null)
  socket.destroy()
  t.equal(able.inFlight(socket), null)
})
