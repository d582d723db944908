import t, { type Test } from 'tap'
import { startService, type Generation, type Plan } from './helpers/handover.ts'
import { http1Client } from './helpers/http1-client.ts'
import { plainWire } from './helpers/wire.ts'

const host = '127.0.0.1'
const start = (t: Test, plan: Partial<Plan> = {}) => startService(t, { apps: [{ listen: { host, port: 0 } }], ...plan })

/** Orders a handover; resolves with the pid of the successor. */
async function order (process: Generation, id: string): Promise<number> {
  process.order('handover', { id })
  return (await process.tells('handover', { id })).successor
}

t.test('many calls and signals at once make one successor, and each call resolves with its pid', async t => {
  const service = await start(t)
  const old = await service.generation(0)
  const wire = await plainWire(t, service.address())
  await http1Client(wire).ask('/').answer()
  const calls = ['a', 'b', 'c'].map(id => order(old, id))
  for (let i = 0; i < 3; i++) old.kill('SIGUSR2')
  const pids = await Promise.all(calls)
  const successor = await service.generation(1)
  t.same(pids, [successor.pid, successor.pid, successor.pid])
  t.equal(await old.ended, 0)
  t.equal(service.generations.length, 2)
  t.equal(JSON.parse((await http1Client(wire).ask('/').answer()).body).pid, successor.pid)
})

t.test('the successor takes over when it is ready, and not before', async t => {
  const service = await start(t, { ready: true })
  const old = await service.generation(0)
  const wire = await plainWire(t, service.address())
  const client = http1Client(wire)
  const call = order(old, 'first')
  const successor = await service.generation(1)
  await successor.tells('listening')
  for (let i = 0; i < 3; i++) t.equal(JSON.parse((await client.ask('/').answer()).body).pid, old.pid)
  t.notOk(old.told.some(({ type }) => ['draining', 'handover'].includes(type)), 'nothing has happened')

  // It is still taking over: its own handover waits until it has, and its successor is told to be ready as well.
  const next = order(successor, 'second')
  successor.kill('SIGUSR2')
  t.equal(service.generations.length, 2)
  successor.order('release', { id: 'ready' })
  t.equal(await call, successor.pid)
  t.equal(await old.ended, 0)
  const third = await service.generation(2)
  third.order('release', { id: 'ready' })
  t.equal(await next, third.pid)
  t.equal(await successor.ended, 0)
  t.equal(JSON.parse((await client.ask('/').answer()).body).pid, third.pid)
  t.equal(service.generations.length, 3)
})

t.test('the old process reports a drain by the handover, without a lame duck, and ends with 0', async t => {
  const service = await start(t, { apps: [{ listen: { host, port: 0 }, options: { shutdownDelay: 20_000, idleGrace: 50 } }] })
  const old = await service.generation(0)
  const to = service.address()
  const [idle, fresh, busy, gone] = await Promise.all([1, 2, 3, 4].map(() => plainWire(t, to)))
  for (const wire of [idle!, gone!]) await http1Client(wire).ask('/').answer()
  const answer = http1Client(busy!).ask('/held/busy')
  await old.tells('held')
  gone!.raw.reset()
  const [, successor] = await service.handOver()
  await old.tells('draining')
  t.match(await http1Client(idle!).ask('/').answer(), { status: 200, headers: { connection: 'keep-alive' } }, 'the service goes on all the time')
  old.order('release', { id: 'busy' })
  t.equal(JSON.parse((await answer.answer()).body).pid, old.pid)
  t.equal(await old.ended, 0)

  const { report } = await old.tells('report')
  t.equal(report.reason, 'handover')
  t.same(report.phases.map(({ phase }: { phase: string }) => phase), ['lame-duck', 'draining', 'closed'])
  t.ok(report.duration < 20_000, 'no lame duck')
  const { total, 'handed-over': handedOver, ...others } = report.connections
  t.same({ total, handedOver }, { total: 3, handedOver: 3 })
  t.same(new Set(Object.values(others)), new Set([0]))
  t.same(report.stragglers, [])
  t.ok(fresh!.raw.socket.readable)
  t.match(service.log.filter(({ pid, level }) => pid === old.pid && level >= 40), [], 'it warns of nothing')
  t.match(service.log.filter(({ pid, level }) => pid === successor.pid && level >= 40), [])
})

t.test('a successor is an ordinary process: SIGTERM drains it, its onClose hooks run, and it ends with 0', async t => {
  const service = await start(t, { apps: [{ listen: { host, port: 0 }, options: { idleGrace: 50, peerCloseTimeout: 50 } }] })
  const [wire, busy] = [await plainWire(t, service.address()), await plainWire(t, service.address())]
  await http1Client(wire).ask('/').answer()
  const [old, successor] = await service.handOver()
  await old.ended
  const exchange = http1Client(busy).ask('/held/last')
  await successor.tells('held')
  successor.kill('SIGTERM')
  await wire.raw.fin()
  wire.raw.halfClose()
  successor.order('release', { id: 'last' })
  t.match(await exchange.answer(), { status: 200, headers: { connection: 'close' } })
  busy.raw.halfClose()
  t.equal(await successor.ended, 0)
  const { report } = await successor.tells('report')
  t.match(report, { reason: 'SIGTERM', connections: { total: 2, 'half-closed': 1, 'peer-closed': 1, 'handed-over': 0 } })
  t.equal(wire.raw.error, null)
})

t.test('app.drain.handover() says what is wrong where there is nothing to hand over', async t => {
  const service = await start(t, { apps: [{ listen: { host, port: 0 } }, { listen: { host, port: 0 }, options: { handover: false } }] })
  const process = await service.generation(0)
  process.order('handover', { id: 'off', app: 1 })
  t.match(await process.tells('handover', { id: 'off' }), { code: 'FST_DRAIN_HANDOVER_IMPOSSIBLE' })
  process.order('close')
  await process.tells('report', { app: 0 })
  process.order('handover', { id: 'closed' })
  t.match(await process.tells('handover', { id: 'closed' }), { code: 'FST_DRAIN_HANDOVER' })
  t.equal(service.generations.length, 1)
})
