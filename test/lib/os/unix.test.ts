import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sendDatagram, takeName } from '../../../lib/os/unix.ts'
import { datagramSocket, native, skip } from '../../helpers/unit-native.ts'

const open = (): number => readdirSync('/proc/self/fd').length

let count = 0
const name = (): string => `fastify-drain/test/${process.pid}/${count++}`

function folder (t: { teardown (fn: () => unknown): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

t.test('a datagram goes to a Unix socket with a file, and to one without', { skip }, async t => {
  for (const path of [join(folder(t), 'notify'), `@${name()}`]) {
    const receive = datagramSocket(t, path)
    const before = open()
    sendDatagram(native, path, 'READY=1')
    sendDatagram(native, path, 'STATUS=ü\nX=1')
    t.equal(receive(), 'READY=1')
    t.equal(receive(), 'STATUS=ü\nX=1')
    t.equal(receive(), null)
    t.equal(open(), before, 'no descriptor is left open')
  }
})

t.test('a datagram that nobody receives is an error', { skip }, async t => {
  const inFolder = folder(t)
  const stream = createServer()
  await once(stream.listen(join(inFolder, 'stream')), 'listening')
  t.teardown(() => stream.close())
  const before = open()
  for (const [path, errno] of [
    [join(inFolder, 'nobody'), 'ENOENT'],
    [join(inFolder, 'stream'), 'EPROTOTYPE'],
    [`@${name()}`, 'ECONNREFUSED'],
    ['/'.repeat(200), 'EINVAL']
  ] as const) {
    t.throws(() => sendDatagram(native, path, 'READY=1'), { code: 'FST_DRAIN_SYSTEM_CALL', errno, message: /sendto/ }, errno)
  }
  t.equal(open(), before, 'no descriptor is left open')
})

t.test('a receiver that does not read is not waited for', { skip }, async t => {
  const path = `@${name()}`
  datagramSocket(t, path)
  t.throws(() => {
    for (let i = 0; i < 10_000; i++) sendDatagram(native, path, 'STATUS=')
  }, { code: 'FST_DRAIN_SYSTEM_CALL', errno: 'EAGAIN' })
})

t.test('a name can be taken once at a time', { skip }, async t => {
  const mine = name()
  const before = open()
  const giveBack = takeName(native, mine)
  t.type(giveBack, 'function')
  t.equal(open(), before + 1)
  t.equal(takeName(native, mine), null)
  t.equal(open(), before + 1, 'no descriptor is left open')

  const other = takeName(native, name())
  t.type(other, 'function')
  other?.()
  giveBack?.()
  t.equal(open(), before)
  const again = takeName(native, mine)
  t.type(again, 'function')
  again?.()
})

t.test('a name is not passed on to the processes that are started meanwhile', { skip }, async t => {
  const mine = name()
  const giveBack = takeName(native, mine)
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'inherit'] })
  const exited = once(child, 'exit')
  t.teardown(() => exited)
  await once(child, 'spawn')
  giveBack?.()
  const again = takeName(native, mine)
  t.type(again, 'function')
  again?.()
  child.stdin.end()
})

t.test('a name that cannot be taken by anybody is an error', { skip }, async t => {
  const before = open()
  t.throws(() => takeName(native, 'x'.repeat(200)), { code: 'FST_DRAIN_SYSTEM_CALL', errno: 'EINVAL', message: /bind/ })
  t.equal(open(), before, 'no descriptor is left open')
})
