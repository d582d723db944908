import t from 'tap'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createNetServer, type AddressInfo, type Server } from 'node:net'
import { systemClock } from '../../../lib/clock.ts'
import { closeListeners } from '../../../lib/listen/close-listeners.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { rawClient, request } from '../../helpers/raw-client.ts'

async function listening <S extends Server> (t: { teardown (fn: () => unknown): void }, server: S): Promise<S> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return server
}

const settled = () => new Promise<void>(resolve => { setImmediate(resolve) })

t.test('listeners are closed after one turn in which nobody came', async t => {
  const clock = new FakeClock()
  const servers = [await listening(t, createNetServer()), await listening(t, createNetServer())]
  const closing = closeListeners(servers, () => 7, clock)
  t.ok(servers.every(server => server.listening))
  clock.nextTurn()
  await closing
  t.notOk(servers.some(server => server.listening))
})

t.test('row 18: as long as somebody comes the listeners stay open', async t => {
  const clock = new FakeClock()
  const server = await listening(t, createNetServer())
  let accepted = 0
  let closed = false
  const closing = closeListeners([server], () => accepted, clock).then(() => { closed = true })
  for (let i = 0; i < 10; i++) {
    accepted++
    clock.nextTurn()
    await settled()
    t.ok(server.listening)
    t.notOk(closed)
  }
  clock.nextTurn()
  await closing
  t.notOk(server.listening)
})

t.test('row 18: the wait for a quiet turn is bounded, and long enough for a full accept queue', async t => {
  const clock = new FakeClock()
  const server = await listening(t, createNetServer())
  let accepted = 0
  const closing = closeListeners([server], () => accepted++, clock)
  let turns = 0
  for (; server.listening && turns < 10_000; turns++) {
    clock.nextTurn()
    await settled()
  }
  await closing
  t.notOk(server.listening)
  // Node's backlog.
  t.ok(turns >= 511, `${turns} turns`)
  t.ok(turns <= 1000, `${turns} turns`)
})

t.test('a server that does not listen is left alone', async t => {
  const server = createServer()
  await closeListeners([server], () => 0, systemClock)
  t.notOk(server.listening)
})

t.test('row 14: headersTimeout still holds afterwards', async t => {
  const server = await listening(t, createServer({ headersTimeout: 100, requestTimeout: 100, connectionsCheckingInterval: 50 }))
  const client = await rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  client.write('GET / HTTP/1.1\r\n')
  await closeListeners([server], () => 0, systemClock)
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

  await closeListeners([server], () => 0, systemClock)
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
