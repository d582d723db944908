import t from 'tap'
import { spawnSync } from 'node:child_process'
import { platformOf, type OptionName, type Platform } from '../../../lib/os/constants.ts'

const levels: Record<string, string> = { SO: 'SOL_SOCKET', TCP: 'IPPROTO_TCP', IPV6: 'IPPROTO_IPV6' }

// Those that Python does not name: asm-generic/socket.h.
const unnamed = { SO_ATTACH_REUSEPORT_CBPF: 51, SO_DETACH_REUSEPORT_BPF: 68 }

const hasPython = spawnSync('python3', ['--version']).error === undefined
if (!hasPython && process.env['CI'] === 'true') t.fail('python3 is missing')
const skip = process.platform !== 'linux' ? 'this is about Linux' : hasPython ? false : 'python3 is missing'

t.test('the numbers of Linux are those that Python was compiled with', { skip }, async t => {
  const { options, unacknowledged, addressFamilies } = platformOf('linux', 'x64') as Platform
  const names = Object.keys(options).filter(name => !(name in unnamed))
  const { stdout, stderr } = spawnSync('python3', ['-c', `
import json, socket, termios
names = ${JSON.stringify([...names, ...Object.values(levels), 'AF_UNIX', 'AF_INET', 'AF_INET6'])}
print(json.dumps({ **{ name: int(getattr(socket, name)) for name in names }, 'TIOCOUTQ': termios.TIOCOUTQ }))`], { encoding: 'utf8' })
  t.equal(stderr, '')
  const python = JSON.parse(stdout)
  for (const [name, option] of Object.entries(options)) {
    t.equal(option.name, { ...python, ...unnamed }[name], name)
    t.equal(option.level, python[levels[name.split('_', 1)[0] as string] as string], `the level of ${name}`)
  }
  // Another name of SIOCOUTQ, see tcp(7).
  t.equal(unacknowledged, python.TIOCOUTQ)
  t.same(addressFamilies, { unix: python.AF_UNIX, inet: python.AF_INET, inet6: python.AF_INET6 })
})

t.test('Linux has every option', async t => {
  const every: OptionName[] = [
    'SO_REUSEADDR', 'SO_REUSEPORT', 'SO_KEEPALIVE', 'SO_LINGER', 'SO_TYPE', 'SO_ACCEPTCONN', 'SO_ATTACH_REUSEPORT_CBPF',
    'SO_DETACH_REUSEPORT_BPF', 'TCP_KEEPIDLE', 'TCP_KEEPINTVL', 'TCP_KEEPCNT', 'TCP_USER_TIMEOUT', 'TCP_INFO', 'IPV6_V6ONLY'
  ]
  t.same(Object.keys(platformOf('linux', 'arm64')?.options ?? {}).sort(), every.sort())
})

for (const name of ['darwin', 'freebsd']) {
  t.test(`${name} has TCP keepalive, and what only Linux has is missing`, async t => {
    const { options, inherits } = platformOf(name, 'arm64') as Platform
    for (const option of ['SO_KEEPALIVE', 'TCP_KEEPIDLE', 'TCP_KEEPINTVL', 'TCP_KEEPCNT', 'SO_LINGER'] as const) t.ok(options[option], option)
    for (const option of ['SO_ATTACH_REUSEPORT_CBPF', 'SO_DETACH_REUSEPORT_BPF', 'TCP_USER_TIMEOUT', 'TCP_INFO'] as const) t.notOk(options[option], option)
    t.equal(inherits, false)
  })
}

t.test('no two options of a platform are the same', async t => {
  for (const name of ['linux', 'darwin', 'freebsd']) {
    const pairs = Object.values(platformOf(name, 'x64')?.options ?? {}).map(({ level, name }) => `${level} ${name}`)
    t.equal(new Set(pairs).size, pairs.length, name)
  }
})

t.test('there is no table for other platforms, and for processors with numbers of their own', async t => {
  for (const [name, arch] of [['win32', 'x64'], ['sunos', 'x64'], ['linux', 'mips'], ['linux', 'mipsel']] as const) {
    t.equal(platformOf(name, arch), null, `${name}-${arch}`)
  }
})

t.test('on PowerPC ioctl() has other numbers, on Linux', async t => {
  t.strictSame(platformOf('linux', 'ppc64'), { ...platformOf('linux', 'x64'), unacknowledged: 0x40047473 })
  t.strictSame(platformOf('freebsd', 'ppc64'), platformOf('freebsd', 'x64'))
})
