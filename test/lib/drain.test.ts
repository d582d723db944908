import t from 'tap'
import { once } from 'node:events'
import http, { type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { Drain, type DrainEnv } from '../../lib/drain.ts'
import { resolveOptions, type FastifyDrainOptions } from '../../lib/options.ts'
import type { DrainPhase } from '../../lib/report.ts'
import { deferred, eventually } from '../helpers/app.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { rawClient, request, type RawClient } from '../helpers/raw-client.ts'

interface Teardown { teardown (fn: () => unknown): void }

function setUp (
  t: Teardown,
  options: FastifyDrainOptions = {},
  closeApp: DrainEnv['closeApp'] = async () => {},
  listenSettled: DrainEnv['listenSettled'] = async () => {}
) {
  const clock = new FakeClock()
  const lines: string[] = []
  const to = (level: string) => (_fields: object, message: string) => { lines.push(`${level}: ${message}`) }
  const drain = new Drain({
    settings: resolveOptions(options, {}),
    clock,
    log: { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') },
    closeApp,
    listenSettled
  })
  const listen = async (listener: RequestListener = () => {}): Promise<() => Promise<RawClient>> => {
    const server = http.createServer(listener)
    drain.connections.adopt(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      drain.connections.cut('destroy', () => {})
      server.close()
    })
    return async () => {
      const accepted = once(server, 'connection')
      const client = await rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
      await accepted
      return client
    }
  }
  return { clock, lines, drain, listen }
}

const times = (phases: Array<{ phase: DrainPhase, at: number }>) => phases.map(({ phase, at }) => `${phase} at ${at}`)

t.test('before a drain begins the app serves', async t => {
  const { clock, drain } = setUp(t)
  t.equal(drain.phase, 'serving')
  t.equal(drain.report, null)
  t.equal(drain.signal.aborted, false)
  t.equal(clock.timers, 0)
})

t.test('row 35: without a listener and a connection every phase is over at once, shutdownDelay included', async t => {
  const { clock, drain, lines } = setUp(t, { shutdownDelay: 5000 })
  const draining = drain.begin('test')
  await clock.pass(0)
  const report = await draining
  t.same(times(report.phases), ['lame-duck at 0', 'draining at 0', 'closed at 0'])
  t.equal(drain.phase, 'closed')
  t.equal(drain.report, report)
  t.ok(lines.every(line => line.startsWith('debug')))
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('a drain begins once, and every caller gets the same promise', async t => {
  let closes = 0
  const { clock, drain } = setUp(t, {}, async () => { closes++ })
  const first = drain.begin('first')
  t.equal(drain.begin('second'), first)
  await clock.pass(0)
  t.equal((await first).reason, 'first')
  t.equal(drain.begin('third'), first)
  await drain.drained('fourth')
  t.ok(await drain.stop('fifth'))
  t.equal(closes, 1)
})

t.test('the signal aborts when the drain begins, and says why', async t => {
  const { clock, drain, listen } = setUp(t, { shutdownDelay: 1000 })
  await listen()
  drain.begin('SIGTERM').catch(() => {})
  t.equal(drain.phase, 'lame-duck')
  t.match(drain.signal.reason, { code: 'FST_DRAIN_DRAINING', statusCode: 503, message: /SIGTERM/ })
  await clock.pass(1000)
})

t.test('a listen() that is under way comes first, for a second at most', async t => {
  const listening = deferred()
  const patient = setUp(t, {}, async () => {}, () => listening.promise)
  const draining = patient.drain.begin('test')
  await patient.clock.pass(900)
  t.equal(patient.drain.phase, 'lame-duck')
  listening.resolve()
  await patient.clock.pass(0)
  t.same(times((await draining).phases), ['lame-duck at 0', 'draining at 900', 'closed at 900'])
  t.equal(patient.clock.timers, 0, 'no timer is left behind')

  const impatient = setUp(t, {}, async () => {}, () => new Promise(() => {}))
  const gaveUp = impatient.drain.begin('test')
  await impatient.clock.pass(1000)
  t.same(times((await gaveUp).phases), ['lame-duck at 0', 'draining at 1000', 'closed at 1000'])
})

t.test('an idle connection stays through the lame-duck phase and its grace, then the app is closed', async t => {
  const { clock, drain, listen } = setUp(t, { shutdownDelay: 500, idleGrace: 1000 })
  const connect = await listen()
  const client = await connect()
  const draining = drain.begin('test')
  await clock.pass(499)
  t.equal(drain.phase, 'lame-duck')
  t.ok(drain.connections.listening)
  await clock.pass(1)
  t.equal(drain.phase, 'draining')
  t.notOk(drain.connections.listening)
  await clock.pass(499)
  t.equal(drain.connections.counts().new, 1)
  await clock.pass(1)
  await client.fin()
  client.halfClose()
  const report = await draining
  t.same(times(report.phases), ['lame-duck at 0', 'draining at 500', 'closed at 1000'])
  t.match(report.connections, { total: 1, 'half-closed': 1, cut: 0 })
  t.same(report.stragglers, [])
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('the app is closed when the last connection is, and not before', async t => {
  let closed = false
  const { clock, drain, listen } = setUp(t, {}, async () => { closed = true })
  const connect = await listen()
  const client = await connect()
  const draining = drain.begin('test')
  await clock.pass(1000)
  await client.fin()
  t.notOk(closed)
  client.halfClose()
  await draining
  t.ok(closed)
})

t.test('a drain that is over before the grace is leaves no timer behind', async t => {
  const { clock, drain, listen } = setUp(t)
  const connect = await listen()
  const client = await connect()
  const draining = drain.begin('test')
  await clock.pass(100)
  client.halfClose()
  t.match((await draining).connections, { 'peer-closed': 1 })
  t.equal(clock.timers, 0)
})

for (const [hardStop, code] of [['destroy', null], ['reset', 'ECONNRESET']] as const) {
  t.test(`at the deadline what is left is cut by ${hardStop}, and named`, async t => {
    const { clock, drain, listen, lines } = setUp(t, { hardStopAfter: 3000, hardStop })
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
  const { clock, drain, listen } = setUp(t, { shutdownDelay: 20_000 })
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
  const { clock, drain, listen } = setUp(t, { shutdownDelay: 20_000 })
  await listen()
  const stopped = drain.stop('SIGTERM')
  await clock.pass(100)
  drain.hardStop()
  t.equal(await stopped, true)
  t.same(times(drain.report?.phases ?? []), ['lame-duck at 0', 'closed at 100'])
})

t.test('hardStopAndFinish() leaves a report and its summary before it returns, once', async t => {
  const { clock, drain, listen, lines } = setUp(t)
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

t.test('without a deadline nothing is ever cut', async t => {
  const { clock, drain, listen } = setUp(t, { hardStopAfter: false })
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
  const { clock, drain, listen } = setUp(t, { idleGrace: 60_000, hardStopAfter: 10_000 })
  const connect = await listen()
  const client = await connect()
  const draining = drain.begin('test')
  await clock.pass(5000)
  await client.fin()
  client.halfClose()
  t.match((await draining).connections, { cut: 0, 'half-closed': 1 })
})

t.test('row 15: closers of upgraded sockets are called when draining begins, not in the lame-duck phase', async t => {
  const { clock, drain, listen, lines } = setUp(t, { shutdownDelay: 1000 })
  await listen()
  const called: string[] = []
  drain.onUpgradeClose(new PassThrough(), () => { called.push(drain.phase) })
  drain.onUpgradeClose(new PassThrough(), () => { throw new Error('kaboom') })
  const draining = drain.begin('test')
  await clock.pass(999)
  t.same(called, [])
  await clock.pass(1)
  t.same(called, ['draining'])
  await draining
  t.ok(lines.some(line => line.startsWith('warn: drain: a function passed to onUpgradeClose()')))
})

t.test('onClose hooks that take too long are not waited for at the deadline', async t => {
  const { clock, drain, lines } = setUp(t, { hardStopAfter: 3000 }, () => new Promise(() => {}))
  const stopped = drain.stop('test')
  await clock.pass(2999)
  t.notMatch(lines, [/onClose hook is still running/])
  await clock.pass(1)
  t.equal(await stopped, false)
  t.ok(lines.some(line => line.startsWith('error: drain: an onClose hook is still running')))
})

t.test('onClose hooks get a moment, even if the deadline has passed', async t => {
  const hook = deferred()
  const { clock, drain, listen, lines } = setUp(t, { hardStopAfter: 3000 }, () => hook.promise)
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
  const { clock, drain } = setUp(t, { hardStopAfter: false }, () => hook.promise)
  const stopped = drain.stop('test')
  await clock.pass(10_000_000)
  hook.resolve()
  t.equal(await stopped, true)
})

t.test('whoever only waits for the drain hears nothing of an onClose hook that fails', async t => {
  const { clock, drain } = setUp(t, {}, async () => { throw new Error('kaboom') })
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
  const { clock, drain, lines } = setUp(t, {}, async () => { throw new Error('kaboom') })
  const stopped = drain.stop('test')
  await clock.pass(0)
  t.equal(await stopped, false)
  t.match(lines.at(-1), 'error: drain: an onClose hook failed')
  await t.rejects(drain.begin('again'), { message: 'kaboom' })
  await drain.drained('again')
  t.equal(clock.timers, 0, 'no timer is left behind')
})
