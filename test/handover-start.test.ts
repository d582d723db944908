import { renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startService } from './helpers/handover.ts'
import { http1Client } from './helpers/http1-client.ts'
import { plainWire } from './helpers/wire.ts'

const host = '127.0.0.1'
const listen = { host, port: 0 }
const app = new URL('fixtures/handover-app.js', import.meta.url)
const release = (version: number): string => `globalThis.version = ${version}\nawait import(${JSON.stringify(app.href)})\n`

for (const [how, script] of [['relative', 'app.mjs'], ['absolute', 'current/app.mjs']] as const) {
  t.test(`a symbolic link that leads to the new version is followed by the successor: ${how} script`, async t => {
    const folder = t.testdir({ 1: { 'app.mjs': release(1) }, 2: { 'app.mjs': release(2) }, current: t.fixture('symlink', '1') })
    const current = join(folder, 'current')
    const service = await startService(t, { apps: [{ listen }] }, {
      cwd: current, env: { PWD: current }, script: how === 'relative' ? script : join(folder, script)
    })
    const client = http1Client(await plainWire(t, service.address()))
    const version = async (): Promise<number> => JSON.parse((await client.ask('/version').answer()).body).version
    t.equal(await version(), 1)
    symlinkSync('2', join(folder, 'next'))
    renameSync(join(folder, 'next'), current)
    const [, successor] = await service.handOver()
    t.equal(await version(), 2)
    t.equal((await successor.tells('started')).cwd, join(folder, '2'))
  })
}

t.test('a successor is started like its predecessor: flags, arguments, and the environment as it was then', async t => {
  const nodeArgs = ['--max-old-space-size=200', '--no-deprecation']
  const args = ['--an-option', 'an argument', '']
  const service = await startService(t, { apps: [{ listen }], env: { CHANGED: 'by the app', ADDED: 'by the app' } }, {
    nodeArgs, args, env: { CHANGED: 'from outside', EMPTY: '', LINES: 'a=b\nc=d' }
  })
  const [, successor] = await service.handOver()
  const [first, last] = await Promise.all([service.generations[0]!, successor].map(process => process.tells('started')))
  t.same(last.execArgv, nodeArgs)
  t.same(last.argv, first.argv)
  t.same(last.argv.slice(2), args)
  const { NODE_CHANNEL_FD: fd, FASTIFY_DRAIN_HANDOVER: invitation, ...env } = last.env
  t.same(env, first.env)
  t.match(env, { CHANGED: 'from outside', ADDED: undefined, EMPTY: '', LINES: 'a=b\nc=d' })
  t.type(invitation, 'string')
})
