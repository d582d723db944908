import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Server } from 'socket.io'
import { io as connect, type Socket } from 'socket.io-client'
import t, { type Test } from 'tap'
import type { FastifyDrainOptions } from '../index.ts'
import { eventually, testApp } from './helpers/app.ts'

interface Instance {
  app: FastifyInstance
  io: Server
  /** The numbers that clients have sent. */
  handled: number[]
  listen (port: number): Promise<unknown>
}

/** socket.io on the server of an app, as the README has it. */
async function instance (t: Test, options: FastifyDrainOptions = {}): Promise<Instance> {
  const { app } = await testApp(t, { idleGrace: 100, peerCloseTimeout: 8000, ...options })
  const io = new Server(app.server)
  const handled: number[] = []
  io.on('connection', socket => {
    socket.on('number', async (number: number, done: (number: number) => void) => {
      handled.push(number)
      await sleep(5)
      done(number)
    })
  })
  app.drain.signal.addEventListener('abort', () => setTimeout(() => {
    for (const client of Object.values(clientsOf(io))) {
      if (client.transport.name === 'polling') client.close()
    }
  }, options.shutdownDelay ?? 0))
  return { app, io, handled, listen: port => app.listen({ host: '127.0.0.1', port }) }
}

// Documented, and not in the types.
function clientsOf (io: Server): Record<string, { transport: { name: string }, close (): void }> {
  return (io.engine as unknown as { clients: ReturnType<typeof clientsOf> }).clients
}

function portOf (app: FastifyInstance): number {
  return (app.server.address() as AddressInfo).port
}

/** Drains one, and lets the other listen in its place as soon as that is possible. */
async function replace (old: Instance, next: Instance): Promise<Awaited<ReturnType<FastifyInstance['drain']['begin']>>> {
  const port = portOf(old.app)
  const draining = old.app.drain.begin('test')
  await eventually(() => !old.app.server.listening, 'the listener is closed')
  await next.listen(port)
  return draining
}

function clientOf (t: Test, port: number, options: object): Socket {
  const client = connect(`http://127.0.0.1:${port}`, { reconnectionDelay: 50, reconnectionDelayMax: 200, forceNew: true, ...options })
  t.teardown(() => client.disconnect())
  return client
}

for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
  t.test(`clients by ${transports.join(' and ')} find the replacement by themselves, and every message that is acknowledged late or never is sent again`, async t => {
    const [old, next] = [await instance(t), await instance(t)]
    await old.listen(0)
    const client = clientOf(t, portOf(old.app), { transports, retries: 20, ackTimeout: 1000 })
    const reasons: string[] = []
    client.on('disconnect', reason => reasons.push(reason))
    const wanted = transports.at(-1) as string
    await eventually(() => client.connected && client.io.engine.transport.name === wanted, `connected by ${wanted}`)

    const acknowledged: number[] = []
    let number = 0
    const sending = setInterval(() => {
      client.emit('number', number++, (_error: unknown, answer: number) => { acknowledged.push(answer) })
    }, 15)
    t.teardown(() => clearInterval(sending))
    await eventually(() => acknowledged.length > 20, 'it goes well')
    const report = await replace(old, next)
    await eventually(() => next.handled.length > 20, 'it goes on')
    clearInterval(sending)
    await eventually(() => acknowledged.length >= number, 'all are acknowledged')

    const all = Array.from({ length: number }, (_, i) => i)
    t.same(acknowledged, all, 'once each, in order')
    t.same([...new Set([...old.handled, ...next.handled])].sort((a, b) => a - b), all, 'each has reached a handler')
    t.not(reasons.length, 0)
    // Polling meets a refused connection where the port has changed hands; either way the client connects again.
    for (const reason of reasons) t.match(reason, /^transport (close|error)$/)
    t.match(report.connections, { cut: 0, 'timed-out': 0 })
    t.ok(report.duration < 8000, `${report.duration} ms`)
  })
}

t.test('a message that was not acknowledged is an error for who sent it, without retries', async t => {
  const old = await instance(t)
  await old.listen(0)
  const client = clientOf(t, portOf(old.app), { transports: ['websocket'], reconnection: false })
  await once(client as never, 'connect')
  const closed = new Promise<unknown[]>(resolve => client.on('disconnect', (...args) => resolve(args)))
  const sent = Array.from({ length: 40 }, (_, i) => i)
  const settled = Promise.allSettled(sent.map(async number => {
    await sleep(number)
    return client.timeout(3000).emitWithAck('number', number) as Promise<number>
  }))
  await eventually(() => old.handled.length > 3, 'it goes well')
  await old.app.drain.begin('test')
  const [reason, details] = await closed as [string, { description?: unknown, context?: { code?: number, reason?: string } }]
  t.equal(reason, 'transport close')
  t.match(details, { context: { code: 1001, reason: 'service restart' } })
  client.disconnect()
  for (const [number, result] of (await settled).entries()) {
    if (result.status === 'fulfilled') t.ok(old.handled.includes(result.value) && result.value === number)
    else t.match(result.reason, /timed out|disconnected/)
  }
})
