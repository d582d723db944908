import { execFileSync } from 'node:child_process'
import t from 'tap'
import { capture, missingForCapture } from './helpers/capture.ts'
import { eventually } from './helpers/app.ts'
import { startConnectionLoad } from './helpers/connection-load.ts'
import { clientsOf, holds, startService } from './helpers/handover.ts'
import { http1Client } from './helpers/http1-client.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { plainWire, type To, type Wire } from './helpers/wire.ts'

const host = '127.0.0.1'
const skip = missingForCapture()
if (skip !== false && process.env.CI === 'true') t.fail(skip)

const connect = (t: Parameters<typeof plainWire>[0], to: To, count: number): Promise<Wire[]> =>
  Promise.all(Array.from({ length: count }, () => plainWire(t, to)))
const ask = async (wire: Wire): Promise<number> => JSON.parse((await http1Client(wire).ask('/').answer()).body).pid
const portOf = (wire: Wire): number => wire.raw.socket.localPort as number

t.test('while a successor has the descriptors of connections and not yet the connections, the old process serves them', async t => {
  const service = await startService(t, { apps: [{ listen: { host, port: 0 } }], blockAt: 'offer' })
  const to = service.address()
  const wires = await connect(t, to, 20)
  const [closing, dropping, ...rest] = wires as [Wire, Wire, ...Wire[]]
  const old = await service.generation(0)
  for (const wire of wires) t.equal(await ask(wire), old.pid)
  old.kill('SIGUSR2')
  const successor = await service.generation(1)
  await successor.tells('blocked')

  for (const wire of wires) t.equal(await ask(wire), old.pid)
  closing.raw.halfClose()
  await closing.raw.fin()
  t.pass('a client that closes sees our FIN at once, though another process has the connection as well')
  dropping.raw.reset()
  const fresh = await plainWire(t, to)
  const answer = ask(fresh)
  await holds(old.pid, to.port, rest.length + 1)
  service.go()

  t.equal(await answer, successor.pid)
  t.equal(await old.ended, 0)
  for (const wire of [...rest, fresh]) t.equal(await ask(wire), successor.pid)
  t.same(new Set(clientsOf(successor.pid, to.port)), new Set([...rest, fresh].map(portOf)), 'no descriptor is forgotten')
  t.match(await old.tells('report'), { report: { connections: { total: 18, 'handed-over': 18 } } })
})

t.test('what arrives while its connection is on its way waits for the successor', { skip }, async t => {
  const service = await startService(t, { apps: [{ listen: { host, port: 0 } }], blockAt: 'yours' })
  const to = service.address()
  const wires = await connect(t, to, 16)
  const [whole, inHalves, uploading, pipelining, halfClosing, closing, resetting, ...others] = wires as [Wire, Wire, Wire, Wire, Wire, Wire, Wire, ...Wire[]]
  const wire = await capture(t, { filter: `tcp port ${to.port} and tcp[tcpflags] & tcp-rst != 0` })
  const old = await service.generation(0)
  for (const wire of wires) t.equal(await ask(wire), old.pid)
  old.kill('SIGUSR2')
  const successor = await service.generation(1)
  await successor.tells('blocked')
  await holds(old.pid, to.port, 0)

  const answer = ask(whole)
  const [halves, upload] = [inHalves, uploading].map(http1Client)
  const half = halves!.prepare('/')
  inHalves.write(half.bytes.subarray(0, 20))
  const exchange = upload!.ask('/echo', { method: 'POST', body: null, headers: { 'content-length': '1000000', 'content-type': 'application/octet-stream' } })
  exchange.write('x'.repeat(500_000))
  const pipeline = http1Client(pipelining)
  const pipelined = ['/', '/', '/'].map(path => pipeline.ask(path))
  const last = http1Client(halfClosing).ask('/')
  halfClosing.raw.halfClose()
  closing.raw.socket.destroy()
  const resetFrom = `${host}:${portOf(resetting)}`
  resetting.raw.reset()
  service.go()

  t.equal(await answer, successor.pid)
  inHalves.write(half.bytes.subarray(20))
  exchange.finish('x'.repeat(500_000))
  const bodies = await Promise.all([half, exchange, ...pipelined, last].map(async exchange => JSON.parse((await exchange.answer()).body)))
  for (const { pid } of bodies) t.equal(pid, successor.pid)
  t.equal(bodies[1].length, 1_000_000)
  await halfClosing.raw.fin()
  t.equal(await old.ended, 0)
  const kept = [whole, inHalves, uploading, pipelining, ...others]
  for (const wire of kept) t.equal(await ask(wire), successor.pid)
  await holds(successor.pid, to.port, kept.length)
  t.match(await old.tells('report'), { report: { connections: { total: 16, 'handed-over': 16 } } })
  t.same((await wire.stop()).map(({ from }) => from), [resetFrom], 'no RST but that of the client')
})

t.test('a full accept queue loses nobody when its process hands over', { skip }, async t => {
  const backlog = 4
  const service = await startService(t, { apps: [{ listen: { host, port: 0, backlog } }], blockAt: 'offer' })
  const to = service.address()
  const idle = await plainWire(t, to)
  const wire = await capture(t, { filter: `tcp src port ${to.port} and tcp[tcpflags] & tcp-rst != 0` })
  const old = await service.generation(0)
  t.equal(await ask(idle), old.pid)
  old.kill('SIGUSR2')
  const successor = await service.generation(1)
  await successor.tells('blocked')
  old.order('block', { file: service.gate })
  await old.tells('blocked')

  const clients = Array.from({ length: 10 }, async () => ask(await plainWire(t, to)))
  await eventually(() => queueOf(to.port) > backlog, 'the queue is full')
  service.go()
  for (const pid of await Promise.all(clients)) t.ok([old.pid, successor.pid].includes(pid), `answered by ${pid}`)
  t.equal(await old.ended, 0)
  t.equal(await ask(idle), successor.pid)
  t.same(await wire.stop(), [])
})

// How many wait to be accepted.
function queueOf (port: number): number {
  const [, waiting] = execFileSync('ss', ['-ltnH', `sport = :${port}`], { encoding: 'utf8' }).split(/\s+/)
  return Number(waiting)
}

t.test('whoever connects during handovers is served, and whoever is connected stays so', async t => {
  const service = await startService(t, { apps: [{ listen: { host, port: 0 } }] })
  const to = service.address()
  const load = startConnectionLoad(t, { to, fresh: 5, kept: 10, pause: 2 })
  await load.answers(100)
  const [first, second] = await service.handOver()
  await load.answers(100)
  await service.handOver()
  t.equal(await first.ended, 0)
  await load.answers(100)
  t.equal(await second.ended, 0)
  const { answered, connections, failed } = await load.stop()
  t.same(failed, {})
  t.ok(answered > 300)
  const { connections: counted } = (await first.tells('report')).report
  t.equal(counted.cut + counted.destroyed + counted['timed-out'], 0)
  t.ok(connections >= 10)
})

t.test('a client that has closed before a handover holds up nothing', async t => {
  const service = await startService(t, { apps: [{ listen: { host, port: 0 } }] })
  const to = service.address()
  const old = await service.generation(0)
  const client = await rawClient(t, to)
  client.write(request('/held/gone'))
  await old.tells('held')
  client.reset()
  const [, successor] = await service.handOver()
  old.order('release', { id: 'gone' })
  t.equal(await old.ended, 0)
  t.same(clientsOf(successor.pid, to.port), [])
})
