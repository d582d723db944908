import t from 'tap'
import { once } from 'node:events'
import { mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Child, startedAs, type StartedAs } from '../../../lib/handover/successor.ts'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { deferred } from '../../helpers/app.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { fsError, readReally, replaceFs } from '../../helpers/unit-fs.ts'

interface Teardown { teardown (fn: () => unknown): void }

async function listening (t: Teardown): Promise<Server> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return server
}

/** A successor that runs this script; killed on teardown. What it says is `heard`, how it ends `ended`. */
function start (t: Teardown, script: string, { passed = [] as Server[], env = {}, ...how }: Partial<StartedAs> & { passed?: Server[] } = {}) {
  const clock = new FakeClock()
  const listeners = passed.map(server => ({ fd: descriptorOf(server) as number, name: '', anyPort: true }))
  const successor = new Child({ execPath: process.execPath, args: ['-e', script], cwd: process.cwd(), env, ...how }, listeners, clock)
  const [heard, ended] = [deferred<any>(), deferred<string>()]
  successor.channel.listen(heard.resolve, () => {})
  successor.watch(ended.resolve)
  // It is not to keep the process from ending, and this test waits for it.
  const waiting = setTimeout(() => {}, 60_000)
  ended.promise.then(() => clearTimeout(waiting))
  t.teardown(async () => {
    successor.end({ patience: 0, hasConnections: true, isEnding: false })
    clock.advance(0)
    await ended.promise
  })
  return { clock, successor, heard: heard.promise, ended: ended.promise }
}

/** A script that says something, and what this expression is worth. */
const say = (expression: string): string => `process.send({ 'fastify-drain': { type: 'hello', ...${expression} } })`
const goOn = '; setInterval(() => {}, 1000)'

t.test('a successor is started like this process, and finds its invitation', async t => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'fastify-drain-')))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { heard, successor } = start(t, say('{ env: process.env, cwd: process.cwd(), args: process.argv.slice(1), pid: process.pid }') + goOn, { env: { COLOUR: 'red' }, cwd: folder })
  const { env, cwd, pid } = await heard
  t.equal(pid, successor.pid)
  t.equal(cwd, folder)
  t.equal(env.COLOUR, 'red')
  t.notOk('PATH' in env, 'it has that environment and no other')
  t.strictSame(JSON.parse(env.FASTIFY_DRAIN_HANDOVER), { speaks: [1], predecessor: process.pid, listeners: [] })
})

t.test('listeners are its descriptors 4, 5 and so on', async t => {
  const [first, second] = [await listening(t), await listening(t)]
  const portOf = (server: Server): number => (server.address() as { port: number }).port
  const { heard, successor } = start(t, `
    const { once } = require('node:events')
    const { createServer } = require('node:net')
    const { listeners } = JSON.parse(process.env.FASTIFY_DRAIN_HANDOVER)
    const servers = listeners.map(({ fd }) => createServer().listen({ fd }))
    Promise.all(servers.map(server => once(server, 'listening'))).then(() => ${say('{ listeners, ports: servers.map(server => server.address().port) }')})${goOn}
  `, { passed: [first, second] })
  const { listeners, ports } = await heard
  t.strictSame(listeners, [{ fd: 4, name: '', anyPort: true }, { fd: 5, name: '', anyPort: true }])
  t.same([successor.listener(0), successor.listener(1)], [4, 5])
  t.same(ports, [portOf(first), portOf(second)])
})

t.test('how it ends is told in words, once', async t => {
  t.equal(await start(t, 'process.exit(7)').ended, 'it has ended with code 7')
  t.equal(await start(t, 'process.kill(process.pid, "SIGKILL")').ended, 'it was ended by SIGKILL')
  t.match(await start(t, '', { execPath: '/does/not/exist' }).ended, /^it cannot be started: .*ENOENT/)
})

t.test('a successor that cannot be started has no pid, and nothing to be ended', async t => {
  const { successor, ended, clock } = start(t, '', { execPath: '/does/not/exist' })
  await ended
  t.equal(successor.pid, undefined)
  successor.end({ patience: 1000, hasConnections: true, isEnding: false })
  t.equal(clock.timers, 0)
})

t.test('a successor is told to end', async t => {
  const { successor, heard, ended, clock } = start(t, say('{}') + goOn)
  await heard
  successor.end({ patience: 1000, hasConnections: true, isEnding: false })
  t.equal(await ended, 'it was ended by SIGTERM')
  t.equal(clock.timers, 0, 'nobody would kill another process with its pid')
  successor.end({ patience: 1000, hasConnections: true, isEnding: false })
  t.equal(clock.timers, 0)
})

t.test('a successor without connections does not outlive this process', async t => {
  const { successor, heard, ended } = start(t, say('{}') + goOn)
  await heard
  const before = process.listenerCount('exit')
  successor.end({ patience: 1000, hasConnections: false, isEnding: false })
  t.equal(process.listenerCount('exit'), before + 1)
  await ended
  t.equal(process.listenerCount('exit'), before)
})

t.test('a successor that does not listen to that is killed a while later', async t => {
  const { successor, heard, ended, clock } = start(t, `process.on('SIGTERM', () => {}); ${say('{}')}${goOn}`)
  await heard
  successor.end({ patience: 1000, hasConnections: true, isEnding: false })
  clock.advance(999)
  t.equal(clock.timers, 1)
  clock.advance(1)
  t.equal(await ended, 'it was ended by SIGKILL')
})

const here = { execPath: '/usr/bin/node', execArgv: ['--no-warnings'], argv: ['/usr/bin/node', '/srv/app.js', '-p', '80'], env: {} as NodeJS.ProcessEnv }
const asProcess = (given: object = {}): NodeJS.Process => ({ ...here, ...given }) as NodeJS.Process

t.test('a successor gets the arguments of this process, those of Node included', async t => {
  t.match(startedAs(asProcess()), { execPath: '/usr/bin/node', args: ['--no-warnings', '/srv/app.js', '-p', '80'], cwd: process.cwd() })
})

t.test('its script is the one at that path then, not the one that the path led to when this process was started', async t => {
  const argsOf = (...argv: string[]) => startedAs(asProcess({ execArgv: [], argv: ['/usr/bin/node', ...argv] })).args
  t.same(argsOf(join(process.cwd(), 'src', 'app.js'), join(process.cwd(), 'data')), ['./src/app.js', join(process.cwd(), 'data')])
  t.same(argsOf(`${process.cwd()}-other/app.js`), [`${process.cwd()}-other/app.js`])
  t.same(argsOf(), [])
})

const environ = '/proc/self/environ'

t.test('it gets the environment that this process was started with, not what the app has added', { skip: process.platform !== 'linux' }, async t => {
  const text = readReally(environ)
  const { env } = startedAs(asProcess({ env: { ...process.env, ADDED: 'later' } }))
  t.notOk('ADDED' in env)
  t.ok(text.includes(`PATH=${env['PATH']}\0`))
})

t.test('what was meant for this process alone is left out', async t => {
  const mine = { LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: 'web', NODE_CHANNEL_FD: '3', NODE_CHANNEL_SERIALIZATION_MODE: 'json', FASTIFY_DRAIN_HANDOVER: '{}' }
  const rest = { PATH: '/bin', EMPTY: '', EQUALS: 'a=b', NOTIFY_SOCKET: '/run/notify', LISTEN_FD: 'x' }
  const text = Object.entries({ ...mine, ...rest }).map(([name, value]) => `${name}=${value}\0`).join('') + 'no equals sign\0'
  replaceFs(t, { [environ]: text })
  t.strictSame(startedAs(asProcess()).env, rest)
})

t.test('where the first environment cannot be read, it is the present one', async t => {
  replaceFs(t, { [environ]: fsError('ENOENT') })
  t.strictSame(startedAs(asProcess({ env: { PATH: '/bin', LISTEN_PID: '1' } })).env, { PATH: '/bin' })
})

t.test('the path that led to the working directory leads to that of the successor, if it still leads here', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [current, other, broken] = [join(folder, 'current'), join(folder, 'other'), join(folder, 'broken')]
  symlinkSync(process.cwd(), current)
  symlinkSync(folder, other)
  symlinkSync(join(folder, 'nothing'), broken)
  for (const [path, expected] of [[current, current], [other, process.cwd()], [broken, process.cwd()], [undefined, process.cwd()]]) {
    t.equal(startedAs(asProcess({ env: { PWD: path } })).cwd, expected, `PWD is ${path}`)
  }
})

t.test('one that ends by itself gets no signal, and is killed when that takes too long', async t => {
  const { clock, successor, heard, ended } = start(t, `process.on('SIGTERM', () => {}); ${say('{}')}${goOn}`)
  await heard
  successor.end({ patience: 1000, hasConnections: true, isEnding: true })
  clock.advance(1000)
  t.equal(await ended, 'it was ended by SIGKILL')
})

t.test('one that ends by itself is not hurried', async t => {
  const { successor, heard, ended } = start(t, `${say('{}')}; setTimeout(() => process.exit(5), 300)`)
  await heard
  successor.end({ patience: 1000, hasConnections: true, isEnding: true })
  t.equal(await ended, 'it has ended with code 5')
})
