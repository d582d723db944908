import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startService, type AppPlan } from './helpers/handover.ts'
import { http1Client } from './helpers/http1-client.ts'
import { socketOptions } from './helpers/socket-options.ts'
import { plainWire } from './helpers/wire.ts'

const host = '127.0.0.1'
const start = (t: Test, { server = {}, options = {} }: Partial<AppPlan> = {}) =>
  startService(t, { apps: [{ listen: { host, port: 0 }, server, options }] })

t.test('requests are counted across processes, and the options of TCP stay', async t => {
  const service = await start(t, { server: { maxRequestsPerSocket: 5 }, options: { keepAlive: { idle: 7000, interval: 3000, count: 4, userTimeout: 9000 } } })
  const wire = await plainWire(t, service.address())
  const client = http1Client(wire)
  const connections: string[] = []
  const ask = async (): Promise<void> => {
    const { status, headers } = await client.ask('/').answer()
    connections.push(`${status} ${headers['connection']}`)
  }
  await ask()
  await ask()
  await service.handOver()
  await ask()
  const [, { pid }] = await service.handOver()
  await ask()
  if (process.getuid?.() === 0) {
    const [found] = socketOptions(pid).filter(({ peerPort }) => peerPort === wire.raw.socket.localPort)
    t.match(found, { SO_KEEPALIVE: 1, TCP_KEEPIDLE: 7, TCP_KEEPINTVL: 3, TCP_KEEPCNT: 4, TCP_USER_TIMEOUT: 9000 })
  }
  await ask()
  await wire.raw.fin()
  t.same(connections, ['200 keep-alive', '200 keep-alive', '200 keep-alive', '200 keep-alive', '200 close'])
  wire.raw.halfClose()
  t.equal(await wire.raw.closed(), null)
})

t.test('keepAliveTimeout goes on where it was', async t => {
  const keepAliveTimeout = 4000
  const service = await startService(t, { apps: [{ listen: { host, port: 0 }, server: { keepAliveTimeout } }], ready: true })
  const [idle, slow] = [await plainWire(t, service.address()), await plainWire(t, service.address())]
  const old = await service.generation(0)
  const [idleClient, slowClient] = [http1Client(idle), http1Client(slow)]
  old.kill('SIGUSR2')
  const successor = await service.generation(1)
  await successor.tells('listening')
  await slowClient.ask('/').answer()
  await idleClient.ask('/').answer()
  const since = performance.now()
  // A part of it passes in the old process, and must not be forgotten.
  await sleep(keepAliveTimeout / 2)
  successor.order('release', { id: 'ready' })
  await service.says('has taken over')
  const moved = performance.now()
  const answer = slowClient.ask('/held/longer')
  await successor.tells('held')

  await idle.raw.fin()
  const closed = performance.now()
  // The clocks of two processes differ a little.
  t.ok(closed - since >= keepAliveTimeout - 50, `not before its time: ${Math.round(closed - since)} ms`)
  t.ok(closed - moved < keepAliveTimeout, `it has not begun anew: ${Math.round(closed - moved)} ms`)
  successor.order('release', { id: 'longer' })
  t.equal(JSON.parse((await answer.answer()).body).pid, successor.pid, 'it cuts no answer')
  t.equal((await slowClient.ask('/').answer()).status, 200, 'and ends no connection that is used')
  idle.raw.halfClose()
  t.equal(await idle.raw.closed(), null)
  t.equal(await old.ended, 0)
})

t.test('a connection that was idle when it came is closed before headersTimeout, and not refused with 408', async t => {
  const service = await start(t, { server: { http: { headersTimeout: 2000, connectionsCheckingInterval: 50 }, requestTimeout: 4000 } })
  const [idle, fresh] = [await plainWire(t, service.address()), await plainWire(t, service.address())]
  await http1Client(idle).ask('/').answer()
  const [, successor] = await service.handOver()
  const { status, body } = await http1Client(idle).ask('/').answer()
  t.match({ status, pid: JSON.parse(body).pid }, { status: 200, pid: successor.pid })
  const quiet = await plainWire(t, service.address())
  await http1Client(quiet).ask('/').answer()
  await service.handOver()
  await quiet.raw.fin()
  t.notMatch(quiet.received, / 408 /)
  // Node looks for it every 50 ms; a connection without a byte is what it is there for.
  await fresh.raw.fin()
})
