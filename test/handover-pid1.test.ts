import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { missingForPid1, startAsPid1 } from './helpers/drain-pid1.ts'

const skip = missingForPid1()
if (skip !== false && process.env.CI === 'true') t.fail(skip)

const fixture = new URL('fixtures/handover-pid1.ts', import.meta.url)
const env = { OPTIONS: '{"handover":true}' }

t.test('process 1 is refused at registration, and the error says why and what to do', { skip }, async t => {
  const app = startAsPid1(t, fixture, env)
  const { code, message, pid } = await app.told('refused')
  t.equal(pid, 1)
  t.equal(code, 'FST_DRAIN_HANDOVER_IMPOSSIBLE')
  t.match(message, /"handover".*process 1,.*container ends.*SIGTERM/)
  t.match(await app.exited, { code: 3, signal: null }, 'nothing has been started, and nothing keeps the process')
})

for (const [init, wanted] of [['tini', 'refused'], ['supervisor', 'registered']] as const) {
  t.test(`a child of ${init} as process 1 is ${wanted}`, { skip }, async t => {
    // A program by that name. Anything but an exec will do: it ends when its child does.
    const program = join(t.testdir({}), init)
    copyFileSync(realpathSync('/bin/sh'), program)
    const loaders = process.execArgv.filter(argument => !argument.includes('@tapjs/mock'))
    const node = [process.execPath, ...loaders, fileURLToPath(fixture)]
    const child = spawn('unshare', ['--pid', '--fork', '--kill-child', '--mount-proc', program, '-c', '"$@"; exit $?', init, ...node], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { ...process.env, ...env }
    })
    const exited = once(child, 'exit')
    t.teardown(async () => {
      child.kill('SIGKILL')
      await exited
    })
    const [told] = await once(child, 'message')
    t.match(told, { type: wanted })
    t.not(told.pid, 1)
    if (wanted === 'refused') t.match(told, { code: 'FST_DRAIN_HANDOVER_IMPOSSIBLE', message: /process 1 is tini, which ends, and its container with it/ })
    t.same(await exited, [wanted === 'refused' ? 3 : 0, null])
  })
}

t.test('a worker thread is refused at registration', async t => {
  const worker = new Worker(`
    const { parentPort } = require('node:worker_threads')
    const app = require('fastify')()
    app.register(require('fastify-drain'), { handover: true }).ready().then(() => 'registered', error => error.message).then(text => parentPort.postMessage(text))
  `, { eval: true, execArgv: [], env: { ...process.env, NODE_OPTIONS: '' } })
  const [message] = await once(worker, 'message')
  t.match(message, /"handover".*worker thread; register it in the main thread/)
  await worker.terminate()
})
