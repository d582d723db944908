import t from 'tap'
import Fastify from 'fastify'
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import drain from '../index.ts'
import { isSound, open } from '../lib/handover/protocol.ts'
import { socketsOf, startService } from './helpers/handover.ts'
import { startService as startSignalsApp } from './helpers/drain-service.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { native, skip as skipNative } from './helpers/unit-native.ts'

t.setTimeout(240_000)
const skip = process.platform === 'linux' ? false : 'descriptors are looked at in /proc'
const root = fileURLToPath(new URL('..', import.meta.url))
const ours = /^(FASTIFY_DRAIN_|LISTEN_|NODE_CHANNEL_)/

interface Child { sockets: string[], variables: string[] }

function ask (path: string, at: { port: number } | { socketPath: string }): Promise<any> {
  return new Promise((resolve, reject) => {
    get({ ...at, path, agent: false }, answer => {
      let body = ''
      answer.setEncoding('utf8').on('data', text => { body += text }).on('end', () => resolve(JSON.parse(body))).on('error', reject)
    }).on('error', reject)
  })
}

t.test('a process that the app starts gets no listener, no connection, no channel and no variable of ours, before, in and behind a handover; a Unix socket keeps its mode', { skip }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'security-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const socketPath = join(folder, 'socket')
  const options = { idleGrace: 100, peerCloseTimeout: 50, lingerTimeout: 200 }
  const service = await startService(t, { ready: true, apps: [{ options, listen: { host: '127.0.0.1', port: 0 } }, { options, listen: { path: socketPath } }] })
  chmodSync(socketPath, 0o660)
  const before = statSync(socketPath)
  const { port } = service.address()
  const idle = await rawClient(t, { host: '127.0.0.1', port })
  idle.write(request('/'))
  await idle.until(/pid/)
  const nothingOf = (pid: number, { sockets, variables }: Child, when: string): void => {
    const own = socketsOf(pid)
    t.ok(own.length >= 3, `${when}: it has listeners and a connection`)
    t.same(sockets.filter(socket => own.includes(socket)), [], when)
    t.same(variables.filter(name => ours.test(name)), [], when)
  }
  const [old] = service.generations
  nothingOf(old!.pid, await ask('/child', { port }), 'before')

  old!.kill('SIGUSR2')
  const successor = await service.generation(1)
  // Both listen now, and wait for its readiness.
  await successor.tells('listening')
  const inBetween = new Set<number>()
  for (let i = 0; i < 20 && inBetween.size < 2; i++) {
    const { pid } = await ask('/', { port })
    const child = await ask('/child', { port })
    if (inBetween.has(pid)) continue
    inBetween.add(pid)
    const own = [...socketsOf(old!.pid), ...socketsOf(successor.pid)]
    t.same((child as Child).sockets.filter(socket => own.includes(socket)), [], 'while both are there')
    t.same((child as Child).variables.filter(name => ours.test(name)), [], 'while both are there')
  }
  successor.order('release', { id: 'ready' })
  await service.says(`process ${successor.pid} has taken over`)
  await old!.ended
  nothingOf(successor.pid, await ask('/child', { port }), 'behind')
  t.match(await ask('/', { socketPath }), { pid: successor.pid })
  const behind = statSync(socketPath)
  t.same([behind.mode & 0o777, behind.ino, behind.uid], [0o660, before.ino, before.uid], 'the same file')
})

t.test('a process that is started while a shared port is left gets nothing of it', { skip: skip !== false ? skip : skipNative }, async t => {
  t.ok(native)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(drain, { signals: false, reusePort: true, idleGrace: 100, shutdownDelay: 100 })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const child = async (): Promise<string[]> => (await promisify(execFile)('ls', ['-l', '/proc/self/fd'])).stdout.match(/socket:\[\d+\]/g) ?? []
  const inherited = async (): Promise<string[]> => {
    const own = socketsOf(process.pid)
    t.ok(own.length > 0)
    return (await child()).filter(socket => own.includes(socket))
  }
  t.same(await inherited(), [])
  const drained = app.drain.begin('test')
  t.same(await inherited(), [])
  await drained
})

// As JSON, because that is how they come.
const hostile = [
  'null', '1', '"fastify-drain"', '[]', '{}', '{"fastify-drain":null}', '{"fastify-drain":"close"}', '{"fastify-drain":[]}', '{"fastify-drain":{}}',
  '{"fastify-drain":{"type":null}}', '{"fastify-drain":{"type":"__proto__"}}', '{"fastify-drain":{"type":"constructor"}}', '{"fastify-drain":{"type":"offer"}}',
  '{"fastify-drain":{"type":"offer","id":-1,"listener":3}}', '{"fastify-drain":{"type":"offer","id":1e400,"listener":3}}', '{"fastify-drain":{"type":"offer","id":"1","listener":"3"}}',
  '{"fastify-drain":{"type":"ready","listeners":{"length":1e9}}}', '{"fastify-drain":{"type":"yours","connections":[{"__proto__":{"id":1,"age":1,"requests":1,"isFresh":true}}]}}',
  '{"fastify-drain":{"type":"yours","connections":"all"}}', '{"fastify-drain":{"__proto__":{"type":"close"}}}', '{"__proto__":{"fastify-drain":{"type":"close"}}}', '{"fastify-drain.cluster":{"type":"begin"}}',
  `{"fastify-drain":{"type":"forget","ids":[${'[1],'.repeat(50_000)}1]}}`, `{"fastify-drain":{"type":"${'x'.repeat(2 ** 20)}"}}`
]

t.test('a message that is malformed, hostile or too large is none of the protocol of a handover', async t => {
  for (const text of hostile) {
    const content = open<object>(JSON.parse(text))
    t.ok(content === null || !isSound(content), text.slice(0, 100))
  }
  t.ok(isSound(open<object>({ 'fastify-drain': { type: 'close' } })!), 'one that is')
})

t.test('a process that nobody has invited obeys no message, sound or not', async t => {
  const service = await startSignalsApp(t, { handover: true, idleGrace: 50 })
  const sound = ['{"type":"close"}', '{"type":"hello","speaks":[1]}', '{"type":"ready","listeners":[4]}', '{"type":"offer","id":1,"listener":3}', '{"type":"yours","connections":[{"id":1,"age":1,"requests":1,"isFresh":true}]}', '{"type":"leaving"}']
  for (const text of [...hostile, ...sound.map(message => `{"fastify-drain":${message}}`)]) service.child.send(JSON.parse(text) ?? 'null')
  const client = await service.asking('/')
  await client.until(/hello/)
  t.equal(service.child.exitCode, null)
  t.notOk(service.lines.some(line => line.includes('drain (')), 'no drain has begun')
  client.halfClose()
  service.child.kill('SIGTERM')
  t.match(await service.exited, { code: 0 })
})

t.test('all that is loaded besides Node is the addon of koffi, from its own package; what it calls is in the process already', { skip: skip !== false ? skip : skipNative }, async t => {
  const script = `
    const { readFileSync } = require('node:fs')
    const files = () => [...new Set(readFileSync('/proc/self/maps', 'utf8').split('\\n').map(line => line.split(/\\s+/)[5] ?? '').filter(path => path.startsWith('/')))]
    import('fastify').then(async ({ default: Fastify }) => {
      const app = Fastify()
      await app.ready()
      const before = files()
      const other = Fastify()
      await other.register((await import(${JSON.stringify(join(root, 'dist/esm/index.js'))})).default, { reusePort: true })
      await other.listen({ port: 0, host: '127.0.0.1' })
      const behind = files().filter(file => !before.includes(file))
      await other.close()
      console.log(JSON.stringify(behind))
    })`
  // Whoever sets these is the owner of the process; a path for addons is not among them.
  const env = { PATH: process.env.PATH, KOFFI_PATH: '/nowhere', KOFFI_LIBRARY: '/nowhere', NODE_PATH: '/nowhere' }
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], { cwd: root, env: env as NodeJS.ProcessEnv })
  const files: string[] = JSON.parse(stdout)
  t.equal(files.length, 1, files.join(' '))
  t.match(files[0], /\/node_modules\/@koromix\/koffi-[\w-]+\/.*koffi\.node$/)
  t.match(readFileSync(join(root, 'lib/os/native.ts'), 'utf8'), /koffi\.load\(null\)/)
})
