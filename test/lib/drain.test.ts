import t from 'tap'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import type { Observer } from '../../lib/observer.ts'
import { deferred, eventually } from '../helpers/app.ts'
import { request } from '../helpers/raw-client.ts'
import { none } from '../helpers/unit-connections.ts'
import { drainByHand, times } from '../helpers/unit-drain.ts'

t.test('before a drain begins the app serves', async t => {
  const { clock, drain } = drainByHand(t)
  t.equal(drain.phase, 'serving')
  t.equal(drain.report, null)
  t.equal(drain.signal.aborted, false)
  t.equal(clock.timers, 0)
})

t.test('row 35: without a listener and a connection every phase is over at once, shutdownDelay included', async t => {
  const { clock, drain, lines } = drainByHand(t, { shutdownDelay: 5000 })
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
  const { clock, drain } = drainByHand(t, {}, async () => { closes++ })
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
  const { clock, drain, listen } = drainByHand(t, { shutdownDelay: 1000 })
  await listen()
  drain.begin('SIGTERM').catch(() => {})
  t.equal(drain.phase, 'lame-duck')
  t.match(drain.signal.reason, { code: 'FST_DRAIN_DRAINING', statusCode: 503, message: /SIGTERM/ })
  await clock.pass(1000)
})

t.test('a listen() that is under way comes first, for a second at most', async t => {
  const listening = deferred()
  const patient = drainByHand(t, {}, async () => {}, () => listening.promise)
  const draining = patient.drain.begin('test')
  await patient.clock.pass(900)
  t.equal(patient.drain.phase, 'lame-duck')
  listening.resolve()
  await patient.clock.pass(0)
  t.same(times((await draining).phases), ['lame-duck at 0', 'draining at 900', 'closed at 900'])
  t.equal(patient.clock.timers, 0, 'no timer is left behind')

  const impatient = drainByHand(t, {}, async () => {}, () => new Promise(() => {}))
  const gaveUp = impatient.drain.begin('test')
  await impatient.clock.pass(1000)
  t.same(times((await gaveUp).phases), ['lame-duck at 0', 'draining at 1000', 'closed at 1000'])
})

t.test('an idle connection stays through the lame-duck phase and its grace, then the app is closed', async t => {
  const { clock, drain, listen } = drainByHand(t, { shutdownDelay: 500, idleGrace: 1000 })
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

t.test('peers that vanish are counted before and during a drain, and told of', async t => {
  const { clock, drain, listen, lines } = drainByHand(t)
  const connect = await listen()
  const accept = async (): Promise<Socket> => (await Promise.all([once(connect.server, 'connection'), connect()]))[0][0]
  t.equal(drain.lostPeers, 0)
  const lost = async (): Promise<void> => {
    const socket = await accept()
    socket.destroy(Object.assign(new Error('lost'), { code: 'EHOSTUNREACH' }))
    await new Promise(resolve => socket.on('close', resolve))
  }
  await lost()
  t.equal(drain.lostPeers, 1)
  t.match(lines.splice(0), [/^debug: .*a peer has vanished \(EHOSTUNREACH\)/])

  const socket = await accept()
  const draining = drain.begin('test')
  socket.destroy(Object.assign(new Error('lost'), { code: 'ETIMEDOUT' }))
  await clock.pass(0)
  const report = await draining
  t.equal(drain.lostPeers, 2)
  t.match(report.connections, { total: 1, 'peer-lost': 1 })
  t.match(report.stragglers, [{ outcome: 'peer-lost', error: 'ETIMEDOUT', state: 'new' }])
})

t.test('who comes during a drain, and what is served meanwhile, is counted', async t => {
  const { clock, drain, listen } = drainByHand(t, { shutdownDelay: 1000 })
  const connect = await listen((_request, answer) => { answer.end('hello') })
  const draining = drain.begin('test')
  const client = await connect()
  client.write(request('/'))
  await client.until(/hello/)
  client.halfClose()
  await client.closed()
  await clock.pass(1000)
  t.match(await draining, { connections: { total: 1, 'peer-closed': 1 }, requests: { served: 1 } })
})

t.test('a peer that never closes is a straggler', async t => {
  const { clock, drain, listen } = drainByHand(t, { idleGrace: 0, lingerTime: 3000, lingerTimeout: 60_000 })
  const connect = await listen()
  const client = await connect()
  const draining = drain.begin('test')
  await clock.pass(0)
  await client.fin()
  await clock.pass(3000)
  const { connections, stragglers } = await draining
  t.match(connections, { total: 1, 'timed-out': 1 })
  t.match(stragglers, [{ remoteAddress: '127.0.0.1', state: 'lingering', outcome: 'timed-out' }])
})

t.test('drained() begins a drain, and resolves when no connection is left', async t => {
  const { clock, drain, listen } = drainByHand(t, {}, () => new Promise(() => {}))
  const connect = await listen()
  const client = await connect()
  let isDrained = false
  const drained = drain.drained('test').then(() => { isDrained = true })
  t.equal(drain.phase, 'lame-duck')
  await clock.pass(900)
  t.notOk(isDrained)
  client.halfClose()
  await drained
  t.equal(drain.phase, 'closed')
})

t.test('the log and the observers hear of each phase, and the observers of the report', async t => {
  const heard: unknown[] = []
  const observer: Observer = {
    isActive: true,
    wantsStates: false,
    opened () {},
    changed () {},
    closed () {},
    phase (...all) { heard.push(all) },
    finished (report) { heard.push(report) }
  }
  const { clock, drain, listen, lines } = drainByHand(t, { shutdownDelay: 100 }, undefined, undefined, () => [observer])
  await listen()
  const draining = drain.begin('test')
  await clock.pass(100)
  const report = await draining
  t.same(heard, [['lame-duck', 'test', none], ['draining', 'test', none], ['closed', 'test', none], report])
  t.same(lines.filter(line => line.includes('(test)')), ['lame-duck', 'draining', 'closed'].map(phase => `info: drain (test): ${phase}, no connection`))
})

for (const [shutdownDelay, hardStopAfter, plan] of [
  // An HTTP/2 session has half of what is left behind the lame duck, and a PING a quarter.
  [1000, 11_000, { idleGrace: 1000, lastCall: 6000, pingTimeout: 2500 }],
  [0, 1000, { idleGrace: 500, lastCall: 500, pingTimeout: 250 }],
  [2000, 100_000, { idleGrace: 1000, lastCall: 14_500, pingTimeout: 5000 }],
  [2000, false, { idleGrace: 1000, lastCall: 14_500, pingTimeout: 5000 }]
] as const) {
  t.test(`with a lame duck of ${shutdownDelay} ms and ${hardStopAfter === false ? 'no deadline' : `a deadline of ${hardStopAfter} ms`} connections know how long they may wait`, async t => {
    const { clock, drain } = drainByHand(t, { shutdownDelay, hardStopAfter, idleGrace: 1000, closeSpread: 10, peerCloseTimeout: 20 })
    const plans: unknown[] = []
    drain.connections.retire = plan => { plans.push(plan) }
    const draining = drain.begin('test')
    await clock.pass(0)
    await draining
    t.same(plans, [{ ...plan, closeSpread: 10, peerCloseTimeout: 20 }])
  })
}

t.test('the app is closed when the last connection is, and not before', async t => {
  let closed = false
  const { clock, drain, listen, lines } = drainByHand(t, {}, async () => { closed = true })
  const connect = await listen()
  const client = await connect()
  const draining = drain.begin('test')
  await clock.pass(1000)
  await client.fin()
  t.notOk(closed)
  client.halfClose()
  await draining
  t.ok(closed)
  t.notMatch(lines.join('\n'), /vanished/)
})

t.test('a drain that is over before the grace is leaves no timer behind', async t => {
  const { clock, drain, listen } = drainByHand(t)
  const connect = await listen()
  const client = await connect()
  const draining = drain.begin('test')
  await clock.pass(100)
  client.halfClose()
  t.match((await draining).connections, { 'peer-closed': 1 })
  t.equal(clock.timers, 0)
})

t.test('row 15: closers of upgraded sockets are called when draining begins, not in the lame-duck phase', async t => {
  const { clock, drain, listen, lines } = drainByHand(t, { shutdownDelay: 1000 })
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

for (const [what, options, half] of [
  ['half of the time until the deadline', { shutdownDelay: 1000, hardStopAfter: 7000 }, 3000],
  ['a while where there is no deadline', { hardStopAfter: false }, 12_500]
] as const) {
  t.test(`beside a successor it listens until nothing is left, for ${what} at most`, async t => {
    const { clock, drain, listen } = drainByHand(t, { ...options, idleGrace: 0 })
    const connect = await listen()
    const client = await connect()
    client.write(request('/'))
    await once(connect.server, 'request')
    drain.hasSuccessor = true
    drain.begin('handover').catch(() => {})
    await clock.pass(half - 1)
    t.ok(connect.server.listening)
    await clock.pass(1)
    await eventually(() => !connect.server.listening, 'it has stopped')
  })
}
