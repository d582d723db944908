import t from 'tap'
import { once } from 'node:events'
import { connect } from 'node:net'
import { deferred, testApp } from './helpers/app.ts'
import { outcomes } from './helpers/drain-slow.ts'
import { answers, rawClient, request, type RawClient } from './helpers/raw-client.ts'

const times = { idleGrace: 100, peerCloseTimeout: 100, lingerTimeout: 2000 }

t.test('row 19: http: connections that come while the listener closes are accepted, served and drained', async t => {
  // Fewer than Node's backlog of 511, and many more than the event loop accepts in a turn.
  const count = 300
  // The phase is told before the listener closes, and clients connect before the event loop turns.
  const clients = deferred<Promise<RawClient>[]>()
  const { app, listen } = await testApp(t, times, {
    logger: {
      stream: {
        write (line: string) {
          if (JSON.parse(line).phase === 'draining') clients.resolve(Array.from({ length: count }, () => rawClient(t, to)))
        }
      }
    }
  })
  app.get('/', async () => 'hello')
  const to = await listen()

  const closing = app.drain.begin('test')
  const connected = await Promise.all(await clients.promise)
  const seen = await Promise.all(connected.map(async client => {
    client.write(request('/'))
    await client.fin()
    client.halfClose()
    const error = await client.closed()
    return answers(client.received).map(({ status, headers }) => `${status} ${headers['connection']} ${error}`).join()
  }))
  t.same(new Set(seen), new Set(['200 close null']))

  const report = await closing
  t.equal(report.connections.total, count)
  t.equal(report.requests.served, count)
  t.same(outcomes(report), { 'half-closed': count })
  await t.rejects(once(connect(to), 'connect'), { code: 'ECONNREFUSED' })
})

t.test('row 19: http: a connection that comes while the listener closes has the grace, and then gets a FIN', async t => {
  const connecting = deferred<Promise<RawClient>>()
  const { app, listen } = await testApp(t, times, {
    logger: {
      stream: { write (line: string) { if (JSON.parse(line).phase === 'draining') connecting.resolve(rawClient(t, to)) } }
    }
  })
  const to = await listen()

  const started = performance.now()
  const closing = app.drain.begin('test')
  const client = await (await connecting.promise)
  await client.fin()
  t.ok(performance.now() - started >= 90)
  client.halfClose()
  t.equal(await client.closed(), null)
  t.same(outcomes(await closing), { 'half-closed': 1 })
})

t.test('row 19: http: while each connection brings another one, the listener goes on accepting', async t => {
  const { app, listen } = await testApp(t, times)
  const to = await listen()
  const count = 60
  const clients: Promise<string | null>[] = []
  app.server.on('connection', () => { if (clients.length < count) clients.push(comes()) })
  app.drain.signal.addEventListener('abort', () => clients.push(comes()))

  const report = await app.drain.begin('test')
  t.same(new Set(await Promise.all(clients)), new Set([null]), 'none is refused or reset')
  t.equal(report.connections.total, count)
  t.same(outcomes(report), { 'half-closed': count })

  async function comes (): Promise<string | null> {
    const client = await rawClient(t, to)
    await client.fin()
    client.halfClose()
    return client.closed()
  }
})
