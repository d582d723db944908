import t from 'tap'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { missingForPid1 } from './helpers/drain-pid1.ts'
import { testApp } from './helpers/app.ts'

const fixture = fileURLToPath(new URL('./fixtures/warnings-app.js', import.meta.url))
const command = [process.execPath, fixture]
const inShell = command.map(word => `'${word}'`).join(' ')

interface Start { options?: object, server?: object, env?: Record<string, string | undefined>, under?: string[], cwd?: string }

/** What a service that is started so warns of. */
async function warningsOf ({ options = {}, server = {}, env = {}, under = command, cwd = process.cwd() }: Start = {}): Promise<string[]> {
  const [file = '', ...args] = under
  const { stdout, stderr } = await new Promise<{ stdout: string, stderr: string }>((resolve, reject) => {
    execFile(file, args, {
      cwd,
      env: { ...process.env, NODE_OPTIONS: undefined, KUBERNETES_SERVICE_HOST: undefined, TERMINATION_GRACE_PERIOD_SECONDS: undefined, OPTIONS: JSON.stringify(options), SERVER: JSON.stringify(server), ...env }
    }, (error, stdout, stderr) => error === null ? resolve({ stdout, stderr }) : reject(Object.assign(error, { stdout, stderr })))
  })
  if (stderr !== '') t.comment(stderr.trim())
  return stdout.split('\n').filter(line => line.startsWith('{')).map(line => JSON.parse(line)).filter(({ level }) => level === 40).map(({ msg }) => msg)
}

const kubernetes = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }

t.test('where all is well nothing is said', async t => {
  for (const start of [
    {},
    { options: { health: true, behind: 'aws-alb' } },
    { env: kubernetes },
    { env: { ...kubernetes, TERMINATION_GRACE_PERIOD_SECONDS: '30' }, options: { shutdownDelay: 1 } },
    { options: { hardStopAfter: false } },
    { options: { signals: false }, env: { LISTENER: 'before' } },
    { options: { signals: ['SIGHUP'] }, env: { LISTENER: 'behind' } },
    { server: { forceCloseConnections: 'idle', return503OnClosing: false, keepAliveTimeout: 1000 } },
    { under: ['sh', '-c', `${inShell}; true`] }
  ]) t.same(await warningsOf(start), [], JSON.stringify(start))
})

for (const [what, start, text] of [
  ['settings that contradict the proxy', { options: { behind: 'gcp' }, server: { keepAliveTimeout: 61_000 } },
    /^fastify-drain: behind 'gcp' .* longer than 600000 ms, but keepAliveTimeout is 61000 ms: .*; leave keepAliveTimeout out of the options of Fastify/],
  ['forceCloseConnections', { server: { forceCloseConnections: true } }, /forceCloseConnections is true, .*; leave it out of the options of Fastify/],
  ['no shutdownDelay in Kubernetes', { env: kubernetes, options: { shutdownDelay: 0 } }, /shutdownDelay is 0, but in Kubernetes .*; leave it out \(5000 ms\), or set it to 1/],
  ['no deadline in a pod whose grace period is known', { env: { TERMINATION_GRACE_PERIOD_SECONDS: '30' }, options: { hardStopAfter: false } },
    /hardStopAfter is false, so what is open 30 s after SIGTERM .*; leave hardStopAfter out/],
  ['a listener that was there before', { env: { LISTENER: 'before' } }, /SIGTERM and SIGINT have another listener in this process \(closeDatabase\): .*; remove it, and do its work in an onClose hook/],
  ['a listener that came between', { env: { LISTENER: 'between' } }, /SIGTERM and SIGINT have another listener/],
  ['a listener that came right behind app.listen()', { env: { LISTENER: 'behind' } }, /SIGTERM and SIGINT have another listener/]
] as const) {
  t.test(`${what}: one line, with what to do`, async t => {
    const warnings = await warningsOf(start)
    t.equal(warnings.length, 1)
    t.match(warnings[0], text)
    t.match(warnings[0], /^fastify-drain: [^\n]+; [^\n]+$/)
  })
}

t.test('each of several things has a line of its own', async t => {
  const warnings = await warningsOf({ options: { shutdownDelay: 0 }, server: { forceCloseConnections: true }, env: { ...kubernetes, LISTENER: 'before' } })
  t.equal(warnings.length, 3)
})

const npm = spawnSync('npm', ['--version']).status === 0 ? false : 'npm is missing'

t.test('npm that has started the process: one line, with what to do', { skip: npm }, async t => {
  const cwd = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(cwd, { recursive: true }))
  writeFileSync(join(cwd, 'package.json'), JSON.stringify({ scripts: { start: inShell } }))
  const warnings = await warningsOf({ under: ['npm', 'start'], cwd })
  t.equal(warnings.length, 1)
  t.match(warnings[0], /^fastify-drain: npm has started this process: .*; start it with node itself \(in a Dockerfile CMD \["node", "server.js"\]\), or put exec in front of node/)
})

const skip = missingForPid1()
// Where everything has to be tested, a missing tool is a failure.
if (skip !== false && process.env.CI === 'true') t.fail(skip)

const asPid1 = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']

t.test('a shell that is process 1: one line, with what to do', { skip }, async t => {
  const warnings = await warningsOf({ under: [...asPid1, 'sh', '-c', `${inShell}; true`] })
  t.equal(warnings.length, 1)
  t.match(warnings[0], /^fastify-drain: process 1 is a shell, .*; start it with node itself/)
})

t.test('who is process 1 itself, also in the place of a shell, hears nothing', { skip }, async t => {
  t.same(await warningsOf({ under: [...asPid1, ...command] }), [])
  t.same(await warningsOf({ under: [...asPid1, 'sh', '-c', `exec ${inShell}`] }), [])
})

t.test('an app that never listens warns of nothing', async t => {
  const { app, logged } = await testApp(t, { behind: 'gcp' }, { keepAliveTimeout: 1000, forceCloseConnections: true })
  await app.ready()
  await app.inject('/')
  t.notOk(logged.some(line => line.startsWith('fastify-drain:')))
})
