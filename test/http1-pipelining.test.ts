import t, { type Test } from 'tap'
import { once } from 'node:events'
import { Readable, type Duplex } from 'node:stream'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { takesBytes } from './helpers/http1-bytes.ts'
import { answers, rawClient, request, type RawClient } from './helpers/raw-client.ts'

type TestOptions = Parameters<typeof testApp>[1]

/** An app whose answers wait until they are let go, by path. */
async function heldApp (t: Parameters<typeof testApp>[0], options: TestOptions = {}) {
  const { app, listen } = await testApp(t, { idleGrace: 100, hardStopAfter: 5000, ...options })
  const executed: string[] = []
  const held = { '/a': deferred(), '/b': deferred(), '/c': deferred() }
  const body = deferred<Readable>()
  for (const path of ['/a', '/b', '/c'] as const) {
    app.all(path, async (_request, reply) => {
      executed.push(path)
      await held[path].promise
      return `body of ${path}`
    })
  }
  app.get('/own-header', async ({ headers }, reply) => {
    executed.push('/own-header')
    await held['/a'].promise
    return reply.header('connection', headers['x-connection']).send('body of /own-header')
  })
  app.get('/stream', async (_request, reply) => reply.header('content-length', 22).send(await body.promise))
  return { app, executed, held, body, client: await rawClient(t, await listen()) }
}

async function endsWithoutRst (t: Test, client: RawClient): Promise<void> {
  await client.fin()
  t.ok(await takesBytes(client, request('/a')), 'no RST')
  client.halfClose()
  t.equal(await client.closed(), null)
}

t.test('row 4: http: pipelined requests that are under way when the drain begins are all answered, each with close', async t => {
  const { app, executed, held, client } = await heldApp(t)
  client.write(request('/a') + request('/b') + request('/c'))
  await eventually(() => executed.length === 3, 'all three are under way')

  const closing = app.drain.begin('test')
  held['/a'].resolve()
  await client.until(/body of \/a/)
  held['/b'].resolve()
  await client.until(/body of \/b/)
  held['/c'].resolve()
  await endsWithoutRst(t, client)

  const all = answers(client.received)
  t.same(all.map(({ body }) => body), ['body of /a', 'body of /b', 'body of /c'])
  t.same(all.map(({ headers }) => headers['connection']), ['close', 'close', 'close'])
  t.match(await closing, { requests: { served: 3 }, connections: { cut: 0, destroyed: 0 } })
})

t.test('row 4: http: pipelined requests that are under way are all answered in their order, whichever is ready first', async t => {
  const { app, executed, held, client } = await heldApp(t)
  client.write(request('/a') + request('/b') + request('/c'))
  await eventually(() => executed.length === 3, 'all three are under way')

  const closing = app.drain.begin('test')
  held['/c'].resolve()
  held['/b'].resolve()
  await new Promise(resolve => setTimeout(resolve, 50))
  held['/a'].resolve()
  await endsWithoutRst(t, client)

  const all = answers(client.received)
  t.same(all.map(({ body }) => body), ['body of /a', 'body of /b', 'body of /c'])
  t.equal(all[0]?.headers['connection'], 'close')
  t.match(await closing, { requests: { served: 3 }, connections: { cut: 0, destroyed: 0 } })
})

for (const connection of ['keep-alive', 'close']) {
  t.test(`row 4: http: a pipelined request is answered behind an answer that sets Connection: ${connection} itself`, async t => {
    const { app, executed, held, client } = await heldApp(t)
    client.write(request('/own-header', { headers: { 'x-connection': connection } }) + request('/b'))
    await eventually(() => executed.length === 2, 'both are under way')

    app.drain.begin('test')
    held['/a'].resolve()
    held['/b'].resolve()
    await endsWithoutRst(t, client)
    const all = answers(client.received)
    t.same(all.map(({ body }) => body), ['body of /own-header', 'body of /b'])
    t.equal(all[0]?.headers['connection'], 'close')
  })
}

t.test('row 4: http: a request that is pipelined after the drain began, behind a pending answer, is never executed', async t => {
  const { app, executed, held, client } = await heldApp(t)
  client.write(request('/a'))
  await eventually(() => executed.length === 1, 'A is under way')

  const closing = app.drain.begin('test')
  client.write(request('/b', { method: 'POST', body: 'x'.repeat(100_000), headers: { 'content-type': 'text/plain' } }) + request('/c'))
  await new Promise(resolve => setTimeout(resolve, 50))
  held['/a'].resolve()
  await endsWithoutRst(t, client)

  t.same(executed, ['/a'])
  const [answer, ...more] = answers(client.received)
  t.match(answer, { status: 200, body: 'body of /a', headers: { connection: 'close' } })
  t.same(more, [])
  t.match(await closing, { requests: { served: 1 }, connections: { cut: 0, destroyed: 0 } })
})

t.test('row 4: http: a request that comes with another one within idleGrace is never executed', async t => {
  const { app, executed, held, client } = await heldApp(t, { idleGrace: 2000 })
  held['/a'].resolve()
  app.drain.begin('test')
  client.write(request('/a') + request('/b'))
  await endsWithoutRst(t, client)
  t.same(executed, ['/a'])
  t.match(answers(client.received), { length: 1, 0: { body: 'body of /a', headers: { connection: 'close' } } })
})

for (const method of ['GET', 'CONNECT']) {
  t.test(`row 4: http: ${method === 'GET' ? 'an upgrade' : 'a CONNECT'} behind the last answer is never executed`, async t => {
    const { app, executed, held, client } = await heldApp(t)
    const upgrades: string[] = []
    for (const event of ['upgrade', 'connect']) {
      app.server.on(event, (_request, socket: Duplex) => { upgrades.push(event); socket.destroy() })
    }
    client.write(request('/a'))
    await eventually(() => executed.length === 1, 'A is under way')
    app.drain.begin('test')
    client.write(request('/b', { method, headers: method === 'GET' ? { connection: 'upgrade', upgrade: 'websocket' } : {} }) + 'bytes of the next protocol')
    await new Promise(resolve => setTimeout(resolve, 50))
    held['/a'].resolve()
    await endsWithoutRst(t, client)
    t.same(upgrades, [])
    t.same(executed, ['/a'])
    t.match(answers(client.received), { length: 1, 0: { body: 'body of /a', headers: { connection: 'close' } } })
  })
}

async function streamingApp (t: Parameters<typeof testApp>[0], options: TestOptions) {
  const held = await heldApp(t, options)
  const body = new Readable({ read () {} })
  body.push('first part')
  held.body.resolve(body)
  held.client.write(request('/stream'))
  await held.client.until(/first part/)
  return { ...held, finish: () => { body.push(' second part'); body.push(null) } }
}

t.test('an answer whose head was sent before the drain began is finished, and one more request is served', async t => {
  const { app, client, held, executed, finish } = await streamingApp(t, { peerCloseTimeout: 700 })
  const closing = app.drain.begin('test')
  finish()
  await client.until(/second part/)
  client.write(request('/a') + request('/b'))
  held['/a'].resolve()
  await endsWithoutRst(t, client)

  const [first, second, ...more] = answers(client.received)
  t.match(first, { headers: { connection: 'keep-alive' }, body: 'first part second part' })
  t.match(second, { headers: { connection: 'close' }, body: 'body of /a' })
  t.same(more, [])
  t.same(executed, ['/a'])
  t.match(await closing, { requests: { served: 2 } })
})

t.test('an answer whose head was sent before the drain began is finished, and FIN follows after peerCloseTimeout', async t => {
  const { app, client, finish } = await streamingApp(t, { idleGrace: 0, peerCloseTimeout: 300 })
  const closing = app.drain.begin('test')
  await eventually(() => !app.server.listening, 'the listener is closed')
  await new Promise(resolve => setTimeout(resolve, 50))
  const finished = performance.now()
  finish()
  await endsWithoutRst(t, client)
  t.ok(performance.now() - finished > 290)
  t.match(answers(client.received), { length: 1, 0: { headers: { connection: 'keep-alive' }, body: 'first part second part' } })
  t.match(await closing, { requests: { served: 1 }, connections: { 'half-closed': 1 } })
})

t.test('a request pipelined behind an answer whose head was sent before the drain began is served with close', async t => {
  const { app, client, held, executed, finish } = await streamingApp(t, {})
  app.drain.begin('test')
  const arrived = once(app.server, 'request')
  client.write(request('/a') + request('/b'))
  await arrived
  finish()
  held['/a'].resolve()
  await endsWithoutRst(t, client)
  t.match(answers(client.received), { length: 2, 0: { headers: { connection: 'keep-alive' } }, 1: { headers: { connection: 'close' }, body: 'body of /a' } })
  t.same(executed, ['/a'])
})
