import t from 'tap'
import { deferred, eventually } from '../helpers/app.ts'
import { request } from '../helpers/raw-client.ts'
import { drainByHand, times } from '../helpers/unit-drain.ts'

for (const [hardStop, code] of [['destroy', null], ['reset', 'ECONNRESET']] as const) {
  t.test(`at the deadline what is left is cut by ${hardStop}, and named`, async t => {
    const { clock, drain, listen, lines } = drainByHand(t, { hardStopAfter: 3000, hardStop })
    const connect = await listen()
    const client = await connect()
    client.write(request('/slow'))
    await eventually(() => drain.connections.counts().active === 1, 'it was active')
    const draining = drain.begin('test')
    await clock.pass(2999)
    t.equal(drain.phase, 'draining')
    await clock.pass(1)
    const report = await draining
    t.same(times(report.phases), ['lame-duck at 0', 'draining at 0', 'aborting at 3000', 'closed at 3000'])
    t.match(report.connections, { total: 1, cut: 1 })
    t.match(report.stragglers, [{ remoteAddress: '127.0.0.1', method: 'GET', route: '/slow', state: 'active', outcome: 'cut' }])
    t.match(lines.at(-1), /^warn: .*stragglers: 127\.0\.0\.1:\d+ GET \/slow/)
    if (code === null) await client.fin()
    else t.equal(await client.closed(), code)
    t.equal(clock.timers, 0, 'no timer is left behind')
  })
}

t.test('hardStop() in the lame-duck phase cuts at once, and the listener is closed', async t => {
  const { clock, drain, listen } = drainByHand(t, { shutdownDelay: 20_000 })
  const connect = await listen()
  await connect()
  const stopped = drain.stop('SIGTERM')
  await clock.pass(100)
  drain.hardStop()
  drain.hardStop()
  t.notOk(drain.connections.listening)
  t.equal(await stopped, false)
  t.same(times(drain.report?.phases ?? []), ['lame-duck at 0', 'aborting at 100', 'closed at 100'])
  t.equal(drain.report?.stragglers.length, 1)
  t.equal(clock.timers, 0, 'no timer is left behind')
  drain.hardStop()
  t.equal(drain.phase, 'closed')
})

t.test('hardStop() where nothing is open skips aborting', async t => {
  const { clock, drain, listen } = drainByHand(t, { shutdownDelay: 20_000 })
  await listen()
  const stopped = drain.stop('SIGTERM')
  await clock.pass(100)
  drain.hardStop()
  t.equal(await stopped, true)
  t.same(times(drain.report?.phases ?? []), ['lame-duck at 0', 'closed at 100'])
})

t.test('hardStopAndFinish() leaves a report and its summary before it returns, once', async t => {
  const { clock, drain, listen, lines } = drainByHand(t)
  const connect = await listen()
  await connect()
  const draining = drain.begin('SIGTERM')
  await clock.pass(100)
  drain.hardStopAndFinish()
  const { report } = drain
  t.same(times(report?.phases ?? []), ['lame-duck at 0', 'draining at 0', 'aborting at 100', 'closed at 100'])
  t.match(report?.connections, { total: 1, cut: 1 })
  t.equal(drain.phase, 'closed')
  drain.hardStopAndFinish()
  t.equal(await draining, report)
  t.equal(lines.filter(line => line.startsWith('warn: drain: closed after')).length, 1)
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('hardStop() behind the end comes too late to be a deadline', async t => {
  const { clock, drain } = drainByHand(t)
  const draining = drain.begin('test')
  await clock.pass(0)
  await draining
  drain.hardStop()
  t.notOk(drain.moments.signalAt('deadline').aborted)
})

t.test('without a deadline nothing is ever cut', async t => {
  const { clock, drain, listen } = drainByHand(t, { hardStopAfter: false })
  const connect = await listen()
  const client = await connect()
  client.write(request('/'))
  await eventually(() => drain.connections.counts().active === 1, 'it was active')
  const draining = drain.begin('test')
  await clock.pass(10_000_000)
  t.equal(drain.phase, 'draining')
  client.reset()
  t.match((await draining).connections, { cut: 0, 'peer-closed': 1 })
})

t.test('a grace that would outlive the deadline is half of the deadline', async t => {
  const { clock, drain, listen } = drainByHand(t, { idleGrace: 60_000, hardStopAfter: 10_000 })
  const connect = await listen()
  const client = await connect()
  const draining = drain.begin('test')
  await clock.pass(5000)
  await client.fin()
  client.halfClose()
  t.match((await draining).connections, { cut: 0, 'half-closed': 1 })
})

t.test('onClose hooks that take too long are not waited for at the deadline', async t => {
  const { clock, drain, lines } = drainByHand(t, { hardStopAfter: 3000 }, () => new Promise(() => {}))
  const stopped = drain.stop('test')
  await clock.pass(2999)
  t.notMatch(lines, [/onClose hook is still running/])
  await clock.pass(1)
  t.equal(await stopped, false)
  t.ok(lines.some(line => line.startsWith('error: drain: an onClose hook is still running')))
})

t.test('onClose hooks have what the drain has left of the time until the deadline', async t => {
  const { clock, drain, listen } = drainByHand(t, { hardStopAfter: 5000 }, () => new Promise(() => {}))
  const connect = await listen()
  const client = await connect()
  let isOver = false
  const stopped = drain.stop('test').then(() => { isOver = true })
  await clock.pass(600)
  client.halfClose()
  await eventually(() => drain.phase === 'closed', 'it was drained')
  await clock.pass(4399)
  t.notOk(isOver)
  await clock.pass(1)
  await stopped
})

t.test('onClose hooks get a moment, even if the deadline has passed', async t => {
  const hook = deferred()
  const { clock, drain, listen, lines } = drainByHand(t, { hardStopAfter: 3000 }, () => hook.promise)
  const connect = await listen()
  const client = await connect()
  client.write(request('/'))
  await eventually(() => drain.connections.counts().active === 1, 'it was active')
  const draining = drain.begin('test')
  await clock.pass(3400)
  t.not(drain.report, null)
  t.notOk(lines.some(line => line.startsWith('error')))
  hook.resolve()
  await draining
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('without a deadline onClose hooks may take their time', async t => {
  const hook = deferred()
  const { clock, drain } = drainByHand(t, { hardStopAfter: false }, () => hook.promise)
  const stopped = drain.stop('test')
  await clock.pass(10_000_000)
  hook.resolve()
  t.equal(await stopped, true)
})

t.test('whoever only waits for the drain hears nothing of an onClose hook that fails', async t => {
  const { clock, drain } = drainByHand(t, {}, async () => { throw new Error('kaboom') })
  const unhandled: unknown[] = []
  const note = (error: unknown): void => { unhandled.push(error) }
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  const drained = drain.drained('test')
  await clock.pass(0)
  await drained
  await clock.pass(0)
  t.same(unhandled, [])
})

t.test('an onClose hook that fails is logged by stop(), and rejects begin()', async t => {
  const { clock, drain, lines } = drainByHand(t, {}, async () => { throw new Error('kaboom') })
  const stopped = drain.stop('test')
  await clock.pass(0)
  t.equal(await stopped, false)
  t.match(lines.at(-1), 'error: drain: an onClose hook failed')
  await t.rejects(drain.begin('again'), { message: 'kaboom' })
  await drain.drained('again')
  t.equal(clock.timers, 0, 'no timer is left behind')
})
