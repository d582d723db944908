import t from 'tap'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addressInWords, adopt, inheritedListeners, whyIgnored, type Inherited, type Wanted } from '../../../lib/listen/inherited.ts'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { nativeWith, native, skip } from '../../helpers/unit-native.ts'

interface Teardown { teardown (fn: () => unknown): void }

type Host = Parameters<typeof inheritedListeners>[0]

/** A process that was started with this environment. */
function host (env: Record<string, string>): Host {
  return { env, pid: 4711 } as unknown as Host
}

/** System calls for which these descriptors are 3, 4, 5 and so on. */
function passed (...fds: number[]) {
  const real = (fd: number): number => fds[fd - 3] ?? 2 ** 31 - 1
  return nativeWith({
    getInt: (fd, option) => native.getInt(real(fd), option),
    addressOf: fd => native.addressOf(real(fd))
  })
}

async function listening (t: Teardown, at: object): Promise<{ fd: number, port: number }> {
  const server = createServer()
  await once(server.listen(at), 'listening')
  t.teardown(() => server.close())
  return { fd: descriptorOf(server) as number, port: (server.address() as AddressInfo).port }
}

const mine = { LISTEN_PID: '4711' }

t.test('nothing is inherited unless the service manager says so, to this process', { skip }, async t => {
  for (const env of [{}, { LISTEN_PID: '4711' }, { LISTEN_FDS: '1' }, { LISTEN_FDS: '1', LISTEN_PID: '4712' }, { LISTEN_FDS: '1', LISTEN_PID: '' }, { LISTEN_FDS: '0', ...mine }, { LISTEN_FDS: 'abc', LISTEN_PID: '4712' }]) {
    t.strictSame(inheritedListeners(host(env as Record<string, string>), passed()), [], JSON.stringify(env))
  }
})

t.test('what was passed to this process is listed with its name and its address', { skip }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'socket')
  const tcp = await listening(t, { host: '127.0.0.1', port: 0 })
  const unix = await listening(t, { path })
  const env = { LISTEN_FDS: '2', ...mine }
  t.match(inheritedListeners(host({ ...env, LISTEN_FDNAMES: 'web:' }), passed(tcp.fd, unix.fd)), [
    { fd: 3, name: 'web', at: { address: '127.0.0.1', port: tcp.port }, taken: false },
    { fd: 4, name: '', at: { path }, taken: false }
  ])
  t.match(inheritedListeners(host(env), passed(tcp.fd, unix.fd)), [{ fd: 3, name: '' }, { fd: 4, name: '' }])
})

t.test('the apps of a process, and the copies of this package, share what was inherited', { skip }, async t => {
  const { fd } = await listening(t, { host: '127.0.0.1', port: 0 })
  const process = host({ LISTEN_FDS: '1', ...mine })
  const first = inheritedListeners(process, passed(fd))
  t.equal(inheritedListeners(process, passed(fd)), first)
  t.equal((process as unknown as Record<symbol, unknown>)[Symbol.for('fastify-drain.inherited.v1')], first)
})

for (const count of ['abc', '', '-1', '1.5', '1e3', '99999', ' 1', '0x1']) {
  t.test(`LISTEN_FDS=${JSON.stringify(count)} is refused`, { skip }, async t => {
    for (const pid of [mine, {}]) {
      t.throws(() => inheritedListeners(host({ LISTEN_FDS: count, ...pid }), passed()), {
        code: 'FST_DRAIN_INHERITED',
        message: `fastify-drain: LISTEN_FDS is '${count}'; it must be the number of sockets passed, see sd_listen_fds(3)`
      })
    }
  })
}

t.test('LISTEN_FDNAMES must have one name for each socket', { skip }, async t => {
  const { fd } = await listening(t, { host: '127.0.0.1', port: 0 })
  for (const [names, count] of [['a:b', 2], ['a:', 2]] as const) {
    t.throws(() => inheritedListeners(host({ LISTEN_FDS: '1', LISTEN_FDNAMES: names, ...mine }), passed(fd)), {
      code: 'FST_DRAIN_INHERITED',
      message: `fastify-drain: LISTEN_FDS is 1 and LISTEN_FDNAMES has ${count} names; it must have one for each socket, with colons between`
    })
  }
})

t.test('a descriptor that is no listening stream socket is refused, and nothing is half-adopted', { skip }, async t => {
  const { fd } = await listening(t, { host: '127.0.0.1', port: 0 })
  const file = openSync('/dev/null', 'r')
  t.teardown(() => closeSync(file))
  const datagrams = native.socket(2, 2)
  t.teardown(() => native.close(datagrams))
  for (const [bad, what] of [[file, 'is not a socket'], [datagrams, 'is not a stream socket'], [2 ** 31 - 1, 'is not open']] as const) {
    const process = host({ LISTEN_FDS: '2', ...mine })
    t.throws(() => inheritedListeners(process, passed(fd, bad)), {
      code: 'FST_DRAIN_INHERITED',
      message: `fastify-drain: descriptor 4 of LISTEN_FDS ${what}; pass listening TCP or Unix stream sockets only (ListenStream= with Accept=no)`
    })
    t.same(Object.getOwnPropertySymbols(process), [])
  }
})

t.test('why LISTEN_FDS does not count is said', async t => {
  const why = (env: Record<string, string>): string | null => whyIgnored(host(env))
  t.equal(why({}), null)
  t.equal(why({ LISTEN_PID: '1' }), null)
  t.equal(why({ LISTEN_FDS: '1', ...mine }), null)
  t.equal(why({ LISTEN_FDS: '1' }), 'LISTEN_FDS is set and LISTEN_PID is not: the inherited sockets are left alone')
  t.equal(why({ LISTEN_FDS: '1', LISTEN_PID: '1' }),
    'the sockets of LISTEN_FDS are for process 1, this is 4711: they are left alone; start node itself, not a shell or npm')
})

function at (address: string, port = 80, name = ''): Inherited {
  return { fd: 3, name, at: { address, port }, taken: false }
}

function atPath (path: string, name = ''): Inherited {
  return { fd: 3, name, at: { path }, taken: false }
}

t.test('an address is served by the socket that listens there, once', async t => {
  for (const [socket, wanted] of [
    [at('127.0.0.1'), { host: '127.0.0.1', port: 80 }],
    [at('127.0.0.1'), { host: '127.0.0.1', port: '80' }],
    [at('::1'), { host: '0:0:0:0:0:0:0:1', port: 80 }],
    [at('127.0.0.1'), { host: 'localhost', port: 80 }],
    [at('::1'), { host: 'localhost', port: 80 }],
    [atPath('/run/web'), { path: '/run/web' }]
  ] as Array<[Inherited, Wanted]>) {
    t.equal(adopt([socket], wanted, false, false), socket, JSON.stringify(wanted))
    t.equal(socket.taken, true)
    t.equal(adopt([socket], wanted, false, true), null, 'it is taken')
  }
})

t.test('an address is not served by a socket that listens elsewhere', async t => {
  for (const [socket, wanted] of [
    [at('127.0.0.1'), { host: '127.0.0.1', port: 81 }],
    [at('127.0.0.1'), { host: '127.0.0.1', port: 0 }],
    [at('127.0.0.1', 0), { host: '127.0.0.1' }],
    [at('127.0.0.1'), { host: '127.0.0.2', port: 80 }],
    [at('127.0.0.2'), { host: 'localhost', port: 80 }],
    [at('127.0.0.1'), { host: 'example.org', port: 80 }],
    [at('127.0.0.1'), { host: '0.0.0.0', port: 80 }],
    [at('127.0.0.1'), { port: 80 }],
    [at('127.0.0.1'), { path: '/run/web' }],
    [at('::'), { path: '/run/web', port: 80 }],
    [at('127.0.0.1'), { path: '/run/web', host: '127.0.0.1', port: 80 }],
    [at('0.0.0.0'), { host: '::1', port: 80 }],
    [atPath('/run/web'), { path: '/run/other' }],
    [atPath('/run/web'), { host: '127.0.0.1', port: 80 }],
    [atPath(''), { port: 80 }]
  ] as Array<[Inherited, Wanted]>) {
    t.equal(adopt([socket], wanted, false, true), null, JSON.stringify([socket.at, wanted]))
    t.equal(socket.taken, false)
  }
})

t.test('a socket on every address serves one of them, unless it shall be exactly that one', async t => {
  for (const [socket, host] of [
    [at('::'), '127.0.0.1'],
    [at('::'), '::1'],
    [at('::'), 'localhost'],
    [at('::'), 'example.org'],
    [at('::'), undefined],
    [at('0.0.0.0'), '127.0.0.1'],
    [at('0.0.0.0'), 'localhost'],
    [at('0.0.0.0'), undefined]
  ] as const) {
    t.equal(adopt([socket], { host, port: 80 }, false, false), null)
    t.equal(adopt([socket], { host, port: 80 }, false, true), socket, `${addressInWords(socket.at)} for ${host}`)
  }
  const ipv6Only: Inherited = { fd: 3, name: '', at: { address: '::', port: 80, ipv6Only: true }, taken: false }
  t.equal(adopt([ipv6Only], { host: '127.0.0.1', port: 80 }, false, true), null)
  t.equal(adopt([ipv6Only], { host: '::1', port: 80 }, false, true), ipv6Only)
  const [wide, exact] = [at('::'), at('127.0.0.1')]
  t.equal(adopt([wide, exact], { host: '127.0.0.1', port: 80 }, false, true), exact, 'the exact one comes first')
})

t.test('with a name only the sockets with that name are taken, whatever their address, the fitting one first', async t => {
  const sockets = [at('10.0.0.1', 1, 'other'), at('10.0.0.1', 2, 'web'), at('10.0.0.1', 3, 'web'), atPath('/run/web', 'web')]
  t.equal(adopt(sockets, { host: '10.0.0.1', port: 3 }, 'web', true), sockets[2])
  t.equal(adopt(sockets, { host: '127.0.0.1', port: 80 }, 'web', true), sockets[1])
  t.equal(adopt(sockets, { host: '127.0.0.1', port: 80 }, 'web', true), sockets[3])
  t.equal(adopt(sockets, { host: '127.0.0.1', port: 80 }, 'web', true), null)
  t.equal(sockets[0]?.taken, false)
})

t.test('addresses are written as in a URL', async t => {
  t.equal(addressInWords({ address: '127.0.0.1', port: 80 }), '127.0.0.1:80')
  t.equal(addressInWords({ address: '::1', port: 80 }), '[::1]:80')
  t.equal(addressInWords({ path: '/run/web' }), '/run/web')
})

t.test('what a predecessor has passed is listed, and what LISTEN_FDS says does not count', { skip }, async t => {
  const tcp = await listening(t, { host: '127.0.0.1', port: 0 })
  const process = host({ LISTEN_FDS: '1', ...mine })
  const listeners = [{ fd: tcp.fd, name: 'web', anyPort: true }]
  t.strictSame(inheritedListeners(process, native, listeners), [
    { fd: tcp.fd, name: 'web', anyPort: true, isPassed: true, at: { address: '127.0.0.1', port: tcp.port }, taken: false }
  ])
  t.strictSame(inheritedListeners(host({ LISTEN_FDS: '1', ...mine }), native, []), [])
})

t.test('without system calls it is found in /proc', { skip }, async t => {
  const tcp = await listening(t, { host: '127.0.0.1', port: 0 })
  t.match(inheritedListeners(host({}), null, [{ fd: tcp.fd, name: '', anyPort: false }]), [{ at: { address: '127.0.0.1', port: tcp.port } }])
})

t.test('what a predecessor has passed and is no listener is refused', { skip }, async t => {
  const process = host({})
  t.throws(() => inheritedListeners(process, native, [{ fd: 2 ** 31 - 1, name: '', anyPort: false }]), {
    code: 'FST_DRAIN_INHERITED',
    message: `fastify-drain: descriptor ${2 ** 31 - 1} was passed in a handover, and is not open; pass listening TCP or Unix stream sockets only (ListenStream= with Accept=no)`
  })
  t.same(Object.getOwnPropertySymbols(process), [])
})

t.test('whoever asks for port 0 gets the listener of one who did, whatever port that is', async t => {
  const listener = (anyPort: boolean): Inherited => ({ ...at('127.0.0.1', 40_000), anyPort })
  for (const port of [0, '0']) {
    const socket = listener(true)
    t.equal(adopt([socket], { host: '127.0.0.1', port }, false, false), socket)
    t.equal(adopt([listener(false)], { host: '127.0.0.1', port }, false, true), null, 'who had asked for that port')
    t.equal(adopt([listener(true)], { host: '127.0.0.2', port }, false, true), null, 'elsewhere')
    t.equal(adopt([{ ...atPath('/run/web'), anyPort: true }], { host: '127.0.0.1', port }, false, true), null)
  }
  const [first, second] = [listener(true), listener(true)]
  t.equal(adopt([first, second], { host: '127.0.0.1', port: 0 }, false, false), first)
  t.equal(adopt([first, second], { host: '127.0.0.1', port: 0 }, false, false), second)
  const exact = listener(true)
  t.equal(adopt([exact], { host: '127.0.0.1', port: 40_000 }, false, false), exact, 'or who asks for that port by its number')
  t.equal(adopt([listener(true)], { host: '127.0.0.1', port: 40_001 }, false, false), null)
})
