import t from 'tap'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { ownerOf, socketInode, tcpListeners, tcpListenersLike, unixListener } from '../../../lib/os/proc.ts'
import { hasIPv6 } from '../../helpers/drain-localhost.ts'
import { fsError, replaceFs } from '../../helpers/unit-fs.ts'
import { native, skip as withoutCalls } from '../../helpers/unit-native.ts'

interface Teardown { teardown (fn: () => unknown): void }

const skip = process.platform === 'linux' ? false : 'there is no /proc here'

async function listen (t: Teardown, host: string): Promise<{ server: Server, port: number, inode: string | null }> {
  const server = createServer()
  await once(server.listen(0, host), 'listening')
  t.teardown(() => server.close())
  return { server, port: (server.address() as AddressInfo).port, inode: socketInode(descriptorOf(server) as number) }
}

async function listenOn (t: Teardown, path: string): Promise<string> {
  const server = createServer()
  await once(server.listen(path), 'listening')
  t.teardown(() => server.close())
  return socketInode(descriptorOf(server) as number) as string
}

function folder (t: Teardown): string {
  const path = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

t.test('a listener is found with its address, its port and its inode', { skip }, async t => {
  for (const host of ['127.0.0.1', '0.0.0.0', ...(hasIPv6() ? ['::1', '::'] : [])]) {
    const { port, inode } = await listen(t, host)
    for (const found of [tcpListeners(), tcpListenersLike(host)]) {
      t.same(found.filter(line => line.port === port), [{ address: host, port, inode, references: 1 }], host)
    }
  }
})

t.test('connections are not listed', { skip }, async t => {
  const { server, port } = await listen(t, '127.0.0.1')
  const client = connect(port, '127.0.0.1')
  t.teardown(() => client.destroy())
  const [socket] = await once(server, 'connection')
  t.teardown(() => socket.destroy())
  t.equal(tcpListeners().filter(line => line.port === port).length, 1)
})

t.test('a connection that waits to be accepted is a reference', { skip }, async t => {
  const { server, port } = await listen(t, '127.0.0.1')
  const references = (): number | undefined => tcpListeners().find(line => line.port === port)?.references
  const client = connect(port, '127.0.0.1')
  t.teardown(() => client.destroy())
  // Node connects in the next tick; then the kernel needs nobody's help, and nobody accepts before the event loop turns.
  await new Promise<void>(resolve => process.nextTick(resolve))
  const ends = performance.now() + 5000
  while (references() === 1 && performance.now() < ends);
  t.equal(references(), 2)
  const [socket] = await once(server, 'connection')
  t.teardown(() => socket.destroy())
  t.equal(references(), 1)
})

// Of a machine whose bytes are in this order, see proc(5).
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0050 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 4711 3 0000000000000000 100 0 0 10 0
1234: 00000000:FFFF 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4294967295 1 0000000000000000 100 0 0 10 0
   2: 0100007F:0050 0200007F:D431 03 00000000:00000000 01:00000012 00000000     0        0 0 1 0000000000000000
   3: 0100007F:0050 0200007F:D432 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
`

t.test('reading ends where the listeners do', { skip }, async t => {
  replaceFs(t, { '/proc/net/tcp': table, '/proc/net/tcp6': '' })
  t.strictSame(tcpListeners(), [
    { address: '127.0.0.1', port: 80, inode: '4711', references: 3 },
    { address: '0.0.0.0', port: 65535, inode: '4294967295', references: 1 }
  ])
})

t.test('where the kernel does not have a family its sockets are missing', { skip }, async t => {
  replaceFs(t, { '/proc/net/tcp6': fsError('ENOENT') })
  const { port } = await listen(t, '127.0.0.1')
  t.equal(tcpListeners().filter(line => line.port === port).length, 1)
  t.throws(() => tcpListenersLike('::1'), { code: 'ENOENT' })
})

t.test('a /proc that may not be read is an error', { skip }, async t => {
  replaceFs(t, { '/proc/net/tcp': fsError('EACCES') })
  t.throws(() => tcpListeners(), { code: 'EACCES' })
})

t.test('a Unix socket that listens is found by its inode, whatever its path', { skip }, async t => {
  const inFolder = folder(t)
  for (const name of ['socket', 'with a space', 'x[1]']) {
    const path = join(inFolder, name)
    t.equal(unixListener(await listenOn(t, path)), path)
  }
})

t.test('a Unix socket that does not listen is not found', { skip }, async t => {
  const path = join(folder(t), 'socket')
  const server = createServer()
  await once(server.listen(path), 'listening')
  t.teardown(() => server.close())
  const client = connect(path)
  t.teardown(() => client.destroy())
  const [socket] = await once(server, 'connection')
  t.teardown(() => socket.destroy())
  t.equal(unixListener(socketInode(descriptorOf(socket) as number) as string), null)
  t.equal(unixListener(socketInode(descriptorOf(client) as number) as string), null)
  t.equal(unixListener('0'), null)
})

t.test('a datagram socket is no listener', { skip: withoutCalls }, async t => {
  const fd = native.socket(1, 2)
  t.teardown(() => native.close(fd))
  t.equal(unixListener(socketInode(fd) as string), null)
})

t.test('what is no stream socket is no listener', { skip }, async t => {
  const [flags, seqpacket, stream] = ['00010000', '0005', '0001']
  replaceFs(t, {
    '/proc/net/unix': 'Num       RefCount Protocol Flags    Type St Inode Path\n' +
      `0000000000000000: 00000002 00000000 ${flags} ${seqpacket} 01    11 /run/seqpacket\n` +
      `0000000000000000: 00000003 00000000 00000000 ${stream} 03    12 /run/connected\n` +
      `0000000000000000: 00000002 00000000 ${flags} ${stream} 01    13 /run/listens\n`
  })
  t.equal(unixListener('11'), null)
  t.equal(unixListener('12'), null)
  t.equal(unixListener('13'), '/run/listens')
})

t.test('what is no socket has no inode', { skip }, async t => {
  const fd = openSync('/dev/null', 'r')
  t.equal(socketInode(fd), null)
  closeSync(fd)
  t.throws(() => socketInode(2 ** 31 - 1), { code: 'ENOENT' })
})

t.test('the owner of a socket is named with its command', { skip }, async t => {
  const { inode } = await listen(t, '127.0.0.1')
  const owner = ownerOf(new Set(['1', inode as string]))
  t.equal(owner?.pid, process.pid)
  t.match(owner?.command, /proc\.test\.ts/)
  t.notMatch(owner?.command, '\0')
  t.equal(owner?.command, owner?.command.trim())
})

t.test('a socket that nobody has open has no owner', { skip }, async t => {
  t.equal(ownerOf(new Set(['0'])), null)
  t.equal(ownerOf(new Set()), null)
})

t.test('processes that may not be looked at are passed over, and descriptors that are closed meanwhile', { skip }, async t => {
  const { inode } = await listen(t, '127.0.0.1')
  replaceFs(t, {
    '/proc': ['self', '1', '2'],
    '/proc/1/fd': fsError('EACCES'),
    '/proc/2/fd': ['0', '7', '8', '9'],
    '/proc/2/fd/0': fsError('ENOENT'),
    '/proc/2/fd/7': '/dev/null',
    '/proc/2/fd/8': 'socket:[1]',
    '/proc/2/fd/9': `socket:[${inode}]`,
    '/proc/2/cmdline': fsError('EACCES')
  })
  t.same(ownerOf(new Set([inode as string])), { pid: 2, command: '' })
})
