import t from 'tap'
import { closesToo, startService } from './helpers/drain-service.ts'

t.test('onClose hooks run after the drain and before the process exits', async t => {
  const service = await startService(t, { idleGrace: 50, peerCloseTimeout: 50 }, 'slow')
  const client = await service.asking('/slow')
  service.child.kill('SIGTERM')
  const closed = closesToo(client).then(() => performance.now())
  await service.told('hook done')
  t.ok(await closed < performance.now())
  t.match(client.received, /at last/)
  t.equal((await service.exited).code, 0)
})

t.test('an onClose hook that hangs holds the process no longer than hardStopAfter and a second; the exit code is 1', async t => {
  const hardStopAfter = 1500
  const service = await startService(t, { idleGrace: 50, hardStopAfter }, 'hangs')
  service.child.kill('SIGTERM')
  await service.told('draining')
  const began = performance.now()
  const { code, at } = await service.exited
  t.equal(code, 1)
  t.ok(at - began >= hardStopAfter - 100, 'the hook has all the time there is')
  t.ok(at - began < hardStopAfter + 5000, 'a hook that hangs is not waited for')
  t.match(service.logged().at(-1), { level: 50, msg: /an onClose hook is still running at the deadline/ })
})

t.test('an onClose hook that hangs after connections were cut is not waited for much longer', async t => {
  const hardStopAfter = 500
  const service = await startService(t, { idleGrace: 50, hardStopAfter }, 'hangs')
  await service.asking('/endless')
  service.child.kill('SIGTERM')
  await service.told('draining')
  const began = performance.now()
  const { code, at } = await service.exited
  t.equal(code, 1)
  t.ok(at - began < hardStopAfter + 5000, 'a hook that hangs is not waited for')
})

t.test('an onClose hook that fails makes the process exit with 1, and its error is logged', async t => {
  const service = await startService(t, { idleGrace: 50 }, 'fails')
  service.child.kill('SIGTERM')
  t.equal((await service.exited).code, 1)
  t.match(service.logged().find(({ level }) => level === 50), {
    msg: 'drain: an onClose hook failed', err: { message: 'this hook fails on purpose' }
  })
})
