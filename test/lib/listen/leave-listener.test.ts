import t from 'tap'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createNetServer, type AddressInfo, type Server } from 'node:net'
import { systemClock } from '../../../lib/clock.ts'
import { acceptUntilQuiet, stopListening } from '../../../lib/listen/leave-listener.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { rawClient, request } from '../../helpers/raw-client.ts'

async function listening <S extends Server> (t: { teardown (fn: () => unknown): void }, server: S): Promise<S> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return server
}

const settled = () => new Promise<void>(resolve => { setImmediate(resolve) })

t.test('the wait is over after one turn in which nobody came', async t => {
  const clock = new FakeClock()
  const server = await listening(t, createNetServer())
  const quiet = acceptUntilQuiet(server, clock)
  t.equal(clock.waiting, 1)
  clock.nextTurn()
  await quiet
  t.equal(clock.waiting, 0)
  t.ok(server.listening, 'the listener is left to the caller')
  t.equal(server.listenerCount('connection'), 0, 'no listener is left behind')
})

t.test('row 18: as long as somebody comes the wait goes on', async t => {
  const clock = new FakeClock()
  const server = await listening(t, createNetServer())
  let isQuiet = false
  const quiet = acceptUntilQuiet(server, clock).then(() => { isQuiet = true })
  for (let i = 0; i < 10; i++) {
    server.emit('connection')
    clock.nextTurn()
    await settled()
    t.notOk(isQuiet)
  }
  clock.nextTurn()
  await quiet
})

t.test('row 18: the wait for a quiet turn is bounded, and long enough for a full accept queue', async t => {
  const clock = new FakeClock()
  const server = await listening(t, createNetServer())
  const quiet = acceptUntilQuiet(server, clock)
  let turns = 0
  for (; clock.waiting > 0 && turns < 10_000; turns++) {
    server.emit('connection')
    clock.nextTurn()
    await settled()
  }
  await quiet
  // Node's backlog.
  t.ok(turns >= 511, `${turns} turns`)
  t.ok(turns <= 1000, `${turns} turns`)
  t.equal(server.listenerCount('connection'), 0, 'no listener is left behind')
})

t.test('the wait is over when the server does not listen any more', async t => {
  const clock = new FakeClock()
  const server = await listening(t, createNetServer())
  const quiet = acceptUntilQuiet(server, clock)
  server.emit('connection')
  server.close()
  clock.nextTurn()
  await quiet
  await acceptUntilQuiet(createServer(), clock)
  t.equal(clock.waiting, 0)
})

t.test('a server that does not listen is left alone', async t => {
  const server = createServer()
  stopListening(server)
  t.notOk(server.listening)
})

t.test('row 14: headersTimeout still holds afterwards', async t => {
  const server = await listening(t, createServer({ headersTimeout: 100, requestTimeout: 100, connectionsCheckingInterval: 50 }))
  const client = await rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  client.write('GET / HTTP/1.1\r\n')
  await acceptUntilQuiet(server, systemClock)
  stopListening(server)
  await client.until(/^HTTP\/1.1 408/)
  client.halfClose()
  await client.closed()
})

t.test('idle connections stay open and are served, and nobody else closes them', async t => {
  const server = await listening(t, createServer((_request, answer) => { answer.end('hello') }))
  const { port } = server.address() as AddressInfo
  const client = await rawClient(t, { host: '127.0.0.1', port })
  client.write(request('/'))
  await client.until(/hello/)

  stopListening(server)
  t.notOk(server.listening)
  // What Fastify does with the second server of localhost.
  server.close()
  server.closeIdleConnections()
  client.write(request('/'))
  await client.until(/hello[^]*hello/)
  t.notOk(client.sawFin)
  await t.rejects(rawClient(t, { host: '127.0.0.1', port }), { code: 'ECONNREFUSED' })
  client.halfClose()
  await client.closed()
})
