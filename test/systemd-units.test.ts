import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import { eventually } from './helpers/app.ts'
import { startConnectionLoad } from './helpers/connection-load.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { lacks, unusedPort } from './helpers/systemd.ts'
import { lacksManager, startManager, type Manager } from './helpers/systemd-manager.ts'

const skipAnalyze = lacks(['systemd-analyze', 'systemd'])
const skip = lacksManager()
for (const missing of [skipAnalyze, skip]) {
  if (missing !== false && process.env.CI === 'true') t.fail(missing)
}

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (name: string): string => readFileSync(new URL(`../examples/systemd/${name}`, import.meta.url), 'utf8')
const host = '127.0.0.1'

t.test('systemd-analyze has nothing to say against the units of examples/systemd', { skip: skipAnalyze }, t => {
  const folder = t.testdir({
    'app.socket': read('app.socket'),
    // It looks whether the program is there.
    'app.service': read('app.service').replace('/usr/bin/node', process.execPath)
  })
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', join(folder, 'app.socket'), join(folder, 'app.service')], { encoding: 'utf8' })
  t.equal(stdout + stderr, '')
  t.equal(status, 0)
  t.end()
})

/** The units of examples/systemd, changed only in what has to be of this machine. */
async function startExample (t: Parameters<typeof startManager>[0], change = ''): Promise<Manager & { port: number, log (): any[] }> {
  const port = await unusedPort()
  const manager = await startManager(t, folder => ({
    'app.socket': read('app.socket'),
    'app.socket.d/test.conf': `[Socket]\nListenStream=\nListenStream=${host}:${port}\n`,
    'app.service': read('app.service'),
    'app.service.d/test.conf': `[Service]\nExecStart=\nExecStart=${process.execPath} ${folder}/app.js\n` +
      `Environment=PORT=${port}\nStandardOutput=append:${folder}/log\nStandardError=inherit\n` +
      `BindReadOnlyPaths=${root} ${dirname(process.execPath)}\n${change}`,
    'app.js': ts.transpileModule(read('app.ts'), { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 } }).outputText
  }))
  const log = (): any[] => readFileSync(join(manager.folder, 'log'), 'utf8').trim().split('\n').map(line => JSON.parse(line))
  await manager.systemctl('start', 'app.socket')
  return { ...manager, port, log }
}

const pidOf = async ({ show }: Manager): Promise<number> => Number(await show('app.service', 'MainPID'))

t.test('systemd starts the service at the first connection, and restarts it under load: nothing is lost', { skip }, async t => {
  const example = await startExample(t)
  const { systemctl, show, port } = example
  t.equal(await show('app.service', 'ActiveState'), 'inactive')
  const load = startConnectionLoad(t, { to: { host, port }, fresh: 20, kept: 20 })
  await load.answers(200)
  t.equal(await show('app.service', 'ActiveState'), 'active', 'READY=1 has come')

  const pids = new Set([await pidOf(example)])
  for (let i = 0; i < 2; i++) {
    // It returns when the next process is ready.
    await systemctl('restart', 'app.service')
    pids.add(await pidOf(example))
    await load.answers(200)
  }
  const tally = await load.stop()
  t.comment(`${tally.answered} answered on ${tally.connections} connections`)
  t.same(tally.failed, {})
  t.equal(pids.size, 3)
  t.notOk(pids.has(0))
  t.same(example.log().filter(({ level }) => level >= 40).map(({ msg }) => msg), [], 'the hardening of the unit is in nobody\'s way')
  t.equal(await show('app.socket', 'SubState'), 'running', 'the socket was never closed')
})

t.test('systemd sees the service stopping while it drains, and gives it more than TimeoutStopSec when it asks', { skip }, async t => {
  const example = await startExample(t, 'TimeoutStopSec=1\n')
  const { systemctl, show, port } = example
  const client = await rawClient(t, { host, port })
  client.write(request('/slow'))
  // It is read when another one is answered.
  const second = await rawClient(t, { host, port })
  second.write(request('/', { headers: { connection: 'close' } }))
  await second.fin()
  second.halfClose()

  const stopping = systemctl('stop', 'app.service')
  await eventually(() => example.log().some(({ msg }) => msg.startsWith('drain: ')), 'the drain has begun')
  t.equal(await show('app.service', 'ActiveState'), 'deactivating')
  t.match(await show('app.service', 'StatusText'), /1 active|draining/)
  await client.fin()
  client.halfClose()
  t.match(answers(client.received), [{ status: 200 }], 'two seconds are more than TimeoutStopSec=1')
  await stopping
  t.equal(await show('app.service', 'ActiveState'), 'inactive')
  t.equal(await show('app.service', 'Result'), 'success')

  // The socket is still there: the next connection starts the service again.
  const third = await rawClient(t, { host, port })
  third.write(request('/', { headers: { connection: 'close' } }))
  await third.fin()
  third.halfClose()
  t.match(answers(third.received), [{ status: 200 }])
})

t.test('a service whose app never listens is not ready, and its start fails', { skip }, async t => {
  const { systemctl, show, folder } = await startExample(t, 'TimeoutStartSec=2\nRestart=no\n')
  writeFileSync(join(folder, 'app.js'), [
    "import Fastify from 'fastify'",
    "import drain from 'fastify-drain'",
    'await Fastify().register(drain)',
    'setInterval(() => {}, 1000)'
  ].join('\n'))
  await t.rejects(systemctl('start', 'app.service'))
  t.equal(await show('app.service', 'Result'), 'timeout')
})
