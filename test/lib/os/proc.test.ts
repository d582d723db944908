import t from 'tap'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer, isIPv6, type AddressInfo, type Server } from 'node:net'
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
    t.same(tcpListenersLike(isIPv6(host) ? '127.0.0.1' : '::1').filter(line => line.port === port), [], 'it is not of the other family')
  }
})

t.test('reading leaves nothing open', { skip }, async t => {
  const open = (): number => readdirSync('/proc/self/fd').length
  const before = open()
  tcpListeners()
  t.equal(open(), before)
})

t.test('connections are not listed', { skip }, async t => {
  const { server, port } = await listen(t, '127.0.0.1')
  const client = connect(port, '127.0.0.1')
  t.teardown(() => client.destroy())
  const [socket] = await once(server, 'connection')
  t.teardown(() => socket.destroy())
  t.same(tcpListeners().filter(line => line.port === port).map(({ references }) => references), [1])
})

t.test('whoever waits to be accepted is a reference to the listener', { skip }, async t => {
  const { server, port } = await listen(t, '127.0.0.1')
  const accepted = new Promise<void>(resolve => {
    let count = 0
    server.on('connection', socket => { socket.destroy(); if (++count === 2) resolve() })
  })
  const references = (): number | undefined => tcpListeners().find(line => line.port === port)?.references
  for (let i = 0; i < 2; i++) connect(port, '127.0.0.1').on('error', () => {})
  await new Promise<void>(resolve => { process.nextTick(resolve) })
  // The kernel shakes hands while our event loop stands still.
  for (let i = 0; i < 1000 && references() !== 3; i++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  t.equal(references(), 3)
  await accepted
  t.equal(references(), 1)
})

const heading = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
const line = (sl: number, local: string, state: string, rest: string): string => `${String(sl).padStart(4)}: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${rest} 0000000000000000 100 0 0 10 0\n`

t.test('listeners are read as the kernel writes them, whatever follows', { skip }, async t => {
  const listeners = line(0, '0100007F:0050', '0A', '4711 1') + line(1234, '00000000:FFFF', '0A', '4294967295 17')
  const expected = [
    { address: '127.0.0.1', port: 80, inode: '4711', references: 1 },
    { address: '0.0.0.0', port: 65535, inode: '4294967295', references: 17 }
  ]
  const contents = { '/proc/net/tcp6': heading, '/proc/net/tcp': '' }
  replaceFs(t, contents)
  for (const rest of ['', line(3, '0100007F:0050', '03', '0 1'), line(4, '0100007F:0050', '01', '4712 1').repeat(1000)]) {
    contents['/proc/net/tcp'] = heading + listeners + rest
    t.strictSame(tcpListeners(), expected)
  }
})

t.test('a long list of listeners is read to its end', { skip }, async t => {
  const many = Array.from({ length: 1000 }, (_, i) => line(i, `0100007F:${(i + 1).toString(16).toUpperCase().padStart(4, '0')}`, '0A', `${i} 1`))
  replaceFs(t, { '/proc/net/tcp6': heading, '/proc/net/tcp': heading + many.join('') + line(1000, '0100007F:0050', '01', '7 1') })
  t.same(tcpListeners().map(({ port }) => port), many.map((_, i) => i + 1))
})

t.test('where the kernel does not have a family its listeners are missing', { skip }, async t => {
  replaceFs(t, { '/proc/net/tcp6': fsError('ENOENT') })
  const { port } = await listen(t, '127.0.0.1')
  t.equal(tcpListeners().filter(line => line.port === port).length, 1)
})

t.test('a /proc that may not be read is an error', { skip }, async t => {
  replaceFs(t, { '/proc/net/tcp': fsError('EACCES') })
  t.throws(() => tcpListeners(), { code: 'EACCES' })
  t.throws(() => tcpListenersLike('127.0.0.1'), { code: 'EACCES' })
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

  const named = openSync(join(folder(t), 'socket:[4711]'), 'w')
  t.equal(socketInode(named), null, 'whatever its name is')
  closeSync(named)
})

t.test('the owner of a socket is named with its command', { skip }, async t => {
  const { inode } = await listen(t, '127.0.0.1')
  const owner = ownerOf(new Set(['1', inode as string]))
  t.equal(owner?.pid, process.pid)
  t.match(owner?.command, /node$/, 'without its arguments')
  t.notMatch(owner?.command, '\0')
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
