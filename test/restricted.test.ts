import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { startProcess } from './helpers/process.ts'
import { skip } from './helpers/unit-native.ts'
import { withoutKoffi } from './helpers/without-koffi.ts'

const fixture = new URL('./fixtures/restricted-app.js', import.meta.url)
const source = new URL('../index.ts', import.meta.url).href

interface Told {
  body: string
  inUse: string
  connections: { total: number, cut: number }
  warnings: string[]
  tellsReuse: boolean
}

const works = { body: 'hello', inUse: 'EADDRINUSE', connections: { total: 1, cut: 0 } }

const untuned = Socket.prototype.setKeepAlive.length >= 4 ? '' : 'not set of keepAlive: TCP_KEEPINTVL, TCP_KEEPCNT; '
const ignorance = 'the report does not know which bytes the peer has not acknowledged'

t.test('without koffi an app starts, serves and drains, and one warning says what is missing', async t => {
  const started = startProcess(t, fixture, { nodeArgs: [...withoutKoffi], env: { PLUGIN: source } })
  const told: Told = await started.message()
  t.match(told, { ...works, tellsReuse: false })
  t.same(told.warnings, [`fastify-drain: koffi cannot be loaded (ERR_MODULE_NOT_FOUND; npm install koffi): ${untuned}${ignorance}`])
  t.match(await started.exited, { code: 0 })
})

t.test('without koffi the warning names what the options ask for as well', async t => {
  const options = { keepAlive: { userTimeout: 1000 }, hardStop: 'reset', reusePort: true }
  const env = { PLUGIN: source, OPTIONS: JSON.stringify(options), NOTIFY_SOCKET: '/nowhere' }
  const { warnings, ...told }: Told = await startProcess(t, fixture, { nodeArgs: [...withoutKoffi], env }).message()
  t.match(told, works)
  t.equal(warnings.length, 1)
  t.match(warnings[0], /keepAlive: .*TCP_USER_TIMEOUT.*reusePort.*hardStop 'reset'.*NOTIFY_SOCKET/)
})

for (const [what, before] of [
  ['taken away', "Object.defineProperty(process, 'report', { value: undefined })"],
  ['made to throw', "Object.defineProperty(process, 'report', { get () { throw new Error('not for you') } })"],
  ['configured and frozen', "Object.freeze(Object.assign(process.report, { excludeNetwork: true, excludeEnv: true, compact: true, reportOnUncaughtException: true, directory: '/nowhere' }))"]
] as const) {
  t.test(`a process.report that was ${what} is no obstacle`, { skip }, async t => {
    const { warnings, ...told }: Told = await startProcess(t, fixture, { env: { PLUGIN: source, BEFORE: before } }).message()
    t.match(told, { ...works, tellsReuse: true })
    t.same(warnings, [])
  })
}

// Node 20 calls it experimental.
const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission'
const network = process.allowedNodeEnvironmentFlags.has('--allow-net') ? ['--allow-net'] : []
const root = fileURLToPath(new URL('../', import.meta.url))

/** The app as it is built, without the loaders of this test: they would need permissions of their own. */
async function permitted (t: { teardown (fn: () => unknown): void }, flags: string[], options = {}): Promise<Told> {
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, permission, ...network, ...flags, '--no-warnings', fileURLToPath(fixture)], {
    env: { ...process.env, PLUGIN: 'fastify-drain', OPTIONS: JSON.stringify(options) },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc']
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const [told] = await Promise.race([once(child, 'message'), exited.then(([code]) => { throw new Error(`it ended with ${code}`) })])
  return told
}

t.test('with --permission an app starts, serves and drains, and one warning says what is missing', async t => {
  for (const readable of ['*', `${root}*`]) {
    const { warnings, ...told } = await permitted(t, [`--allow-fs-read=${readable}`])
    t.match(told, { ...works, tellsReuse: false }, readable)
    t.same(warnings, [`fastify-drain: koffi cannot be loaded (ERR_DLOPEN_DISABLED; start node with --allow-addons): ${untuned}${ignorance}`])
  }
})

t.test('with --permission and --allow-addons nothing is missing', { skip }, async t => {
  for (const [readable, reusePort] of [['*', true], [`${root}*`, false]] as const) {
    const { warnings, ...told } = await permitted(t, [`--allow-fs-read=${readable}`, '--allow-addons'], { reusePort, hardStop: 'reset' })
    t.match(told, { ...works, tellsReuse: true }, readable)
    t.same(warnings, [])
  }
})

t.test('with --permission, --allow-addons and without /proc a shared port is left with a warning', { skip }, async t => {
  const { warnings, ...told } = await permitted(t, [`--allow-fs-read=${root}*`, '--allow-addons'], { reusePort: true })
  t.match(told, works)
  t.match(warnings, [/^drain: new connections cannot be sent to the other listeners of the port/])
  t.equal(warnings.length, 1)
})
