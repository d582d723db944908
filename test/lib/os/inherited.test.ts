import t from 'tap'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { listenerOf } from '../../../lib/os/inherited.ts'
import { hasIPv6 } from '../../helpers/drain-localhost.ts'
import { fsError, replaceFs } from '../../helpers/unit-fs.ts'
import { native, nativeWith, refused, skip } from '../../helpers/unit-native.ts'

interface Teardown { teardown (fn: () => unknown): void }

async function listen (t: Teardown, options: { host?: string, path?: string }): Promise<Server> {
  const server = createServer()
  await once(server.listen(options.path === undefined ? { port: 0, ...options } : options), 'listening')
  t.teardown(() => server.close())
  return server
}

function fd (owner: Server | Socket): number {
  return descriptorOf(owner) as number
}

for (const [how, calls] of [['the kernel', native], ['/proc', null]] as const) {
  t.test(`${how} tells where a TCP socket listens`, { skip }, async t => {
    for (const host of ['127.0.0.1', '0.0.0.0', ...(hasIPv6() ? ['::1', '::'] : [])]) {
      const server = await listen(t, { host })
      t.match(listenerOf(fd(server), calls), { address: host, port: (server.address() as AddressInfo).port })
    }
  })

  t.test(`${how} tells where a Unix socket listens, with and without a file`, { skip }, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    for (const path of [join(folder, 's'), join(folder, 'with a space'), `\0fastify-drain/test/${process.pid}`]) {
      t.strictSame(listenerOf(fd(await listen(t, { path })), calls), { path })
    }
  })

  t.test(`${how} tells what does not listen`, { skip }, async t => {
    const server = await listen(t, { host: '127.0.0.1' })
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    t.teardown(() => client.destroy())
    await once(client, 'connect')
    t.match(listenerOf(fd(client), calls), /^is not (a )?listening/)

    const bound = native.socket(native.platform.addressFamilies.inet, 1)
    t.teardown(() => native.close(bound))
    t.match(listenerOf(bound, calls), /^is not (a )?listening/)

    const datagrams = native.socket(native.platform.addressFamilies.inet, 2)
    t.teardown(() => native.close(datagrams))
    t.match(listenerOf(datagrams, calls), /^is not a (listening )?stream socket$/)
  })

  t.test(`${how} tells what is no socket, and what is not open`, { skip }, async t => {
    const file = openSync('/dev/null', 'r')
    t.equal(listenerOf(file, calls), 'is not a socket')
    closeSync(file)
    t.equal(listenerOf(2 ** 31 - 1, calls), 'is not open')
  })
}

t.test('a family without ports and paths is named by its number', { skip }, async t => {
  const server = await listen(t, { host: '127.0.0.1' })
  const vsock = nativeWith({ addressOf: () => Uint8Array.of(40, 0, 1, 2, 3, 4, 5, 6) })
  t.equal(listenerOf(fd(server), vsock), 'has the address family 40')
})

t.test('an address is read as BSD writes it, too', { skip }, async t => {
  const server = await listen(t, { host: '127.0.0.1' })
  const bsd = (bytes: number[]) => nativeWith({ addressOf: () => Uint8Array.from(bytes) })
  t.strictSame(listenerOf(fd(server), bsd([16, 2, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])), { address: '127.0.0.1', port: 80 })
  t.strictSame(listenerOf(fd(server), bsd([8, 1, 0x2f, 0x61, 0, 0x62])), { path: '/a' })
})

t.test('a socket on every IPv6 address that does not take IPv4 says so', { skip: hasIPv6() ? skip : 'there is no ::1 here' }, async t => {
  for (const [host, ipv6Only, expected] of [['::', true, true], ['::', false, undefined], ['::1', true, undefined]] as const) {
    const server = createServer()
    await once(server.listen({ host, port: 0, ipv6Only }), 'listening')
    t.teardown(() => server.close())
    t.equal((listenerOf(fd(server), native) as { ipv6Only?: boolean }).ipv6Only, expected, `${host} ${ipv6Only}`)
  }
})

t.test('what may not be looked at is said with what would help', { skip }, async t => {
  const server = await listen(t, { host: '127.0.0.1' })
  replaceFs(t, { [`/proc/self/fd/${fd(server)}`]: fsError('ERR_ACCESS_DENIED') })
  t.equal(listenerOf(fd(server), null), 'cannot be looked at without --allow-addons (koffi) or --allow-fs-read=/proc')
})

t.test('what cannot be looked at is said with the reason', { skip }, async t => {
  const server = await listen(t, { host: '127.0.0.1' })
  const refusing = nativeWith({ getInt () { throw refused('getsockopt(SO_TYPE)', 'EPERM') } })
  t.match(listenerOf(fd(server), refusing), /^cannot be looked at \(.*EPERM\)$/)
  replaceFs(t, { '/proc/net/tcp': fsError('EACCES') })
  t.match(listenerOf(fd(server), null), /^cannot be looked at \(.*EACCES.*\)$/)
})
