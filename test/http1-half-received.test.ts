import t from 'tap'
import { eventually, testApp } from './helpers/app.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

type TestOptions = Parameters<typeof testApp>[1]
type ServerOptions = Parameters<typeof testApp>[2]

async function echoApp (t: Parameters<typeof testApp>[0], options: TestOptions = {}, server: ServerOptions = {}) {
  const { app, listen } = await testApp(t, options, server)
  app.get('/', async () => 'hello')
  app.post('/', async ({ body }) => body)
  return { app, listen }
}

const chunked = request('/', { method: 'POST', headers: { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' } })

// `complete` tells whether the head was there when the drain began: then there is a request to name.
const halves = [
  { what: 'method', first: 'GE', rest: 'T / HTTP/1.1\r\nhost: test\r\n\r\n', body: 'hello', complete: false },
  { what: 'request line', first: 'GET / HT', rest: 'TP/1.1\r\nhost: test\r\n\r\n', body: 'hello', complete: false },
  { what: 'header block', first: 'GET / HTTP/1.1\r\nhost: te', rest: 'st\r\n\r\n', body: 'hello', complete: false },
  { what: 'header block that lacks its empty line', first: 'GET / HTTP/1.1\r\nhost: test\r\n', rest: '\r\n', body: 'hello', complete: false },
  { what: 'body', first: request('/', { method: 'POST', body: 'sent in two parts', headers: { 'content-type': 'text/plain' } }).slice(0, -5), rest: 'parts', body: 'sent in two parts', complete: true },
  { what: 'body without its first byte', first: request('/', { method: 'POST', headers: { 'content-type': 'text/plain', 'content-length': '5' } }), rest: 'whole', body: 'whole', complete: true },
  { what: 'chunk', first: chunked + '6\r\nch', rest: 'unks\r\n0\r\n\r\n', body: 'chunks', complete: true },
  { what: 'chunked body that lacks its end', first: chunked + '6\r\nchunks\r\n', rest: '0\r\n\r\n', body: 'chunks', complete: true }
]

for (const { what, first, rest, body } of halves) {
  t.test(`row 14: http: a half-received ${what} may be completed after idleGrace, and is answered with close`, async t => {
    const { app, listen } = await echoApp(t, { idleGrace: 50 })
    const to = await listen()
    const idle = await rawClient(t, to)
    const [fresh, used] = [await rawClient(t, to), await rawClient(t, to)]
    used.write(request('/'))
    await used.until(/hello/)
    for (const client of [fresh, used]) client.write(first)
    await eventually(() => app.drain.connections.active === 2, 'both requests have begun to arrive')

    const closing = app.drain.begin('test')
    await idle.fin()
    idle.halfClose()
    for (const client of [fresh, used]) {
      client.write(rest)
      await client.fin()
      const last = answers(client.received).at(-1)
      t.match(last, { status: 200, body, headers: { connection: 'close' } })
      client.halfClose()
      t.equal(await client.closed(), null, 'no RST')
    }
    t.match(await closing, { requests: { served: 2 }, connections: { total: 3, cut: 0, destroyed: 0 } })
  })
}

t.test('row 14: http: half-received requests that are never completed are cut at the deadline, and the report names them', async t => {
  const { app, listen } = await echoApp(t, { idleGrace: 0, hardStopAfter: 500 })
  const to = await listen()
  const clients = await Promise.all(halves.map(() => rawClient(t, to)))
  clients.forEach((client, i) => client.write(halves[i]?.first ?? ''))
  await eventually(() => app.drain.connections.active === halves.length, 'all requests have begun to arrive')

  const { connections, stragglers, phases, requests } = await app.drain.begin('test')
  t.match(connections, { total: halves.length, cut: halves.length })
  t.equal(requests.served, 0)
  t.same(phases.map(({ phase }) => phase), ['lame-duck', 'draining', 'aborting', 'closed'])
  t.ok((phases[2]?.at ?? 0) >= 495)
  for (const [i, { socket }] of clients.entries()) {
    const named = stragglers.find(({ remotePort }) => remotePort === socket.localPort)
    const known = halves[i]?.complete === true ? { method: 'POST', route: '/' } : { method: null, route: null }
    t.match(named, { remoteAddress: '127.0.0.1', state: 'active', outcome: 'cut', ...known }, halves[i]?.what ?? '')
  }
  await Promise.all(clients.map(client => client.fin().catch(() => {})))
  t.ok(clients.every(({ received }) => received === ''))
})

t.test('row 14: http: headersTimeout ends a half-received head during a drain as it does before one', async t => {
  const { app, listen } = await echoApp(t, { idleGrace: 0 }, { http: { headersTimeout: 300, connectionsCheckingInterval: 50 } } as ServerOptions)
  const client = await rawClient(t, await listen())
  client.write('GET / HTTP/1.1\r\nhost: te')
  await eventually(() => app.drain.connections.active === 1, 'the request has begun to arrive')
  const closing = app.drain.begin('test')
  await client.fin()
  t.match(answers(client.received), { length: 1, 0: { status: 408 } })
  client.halfClose()
  t.match(await closing, { connections: { total: 1, 'half-closed': 1, cut: 0 } })
})

const long = 'x'.repeat(4 * 1024 * 1024)

for (const when of ['in steady state', 'when a drain begins', 'when its FIN comes during the drain']) {
  t.test(`row 10: http: a client that half-closes while its answer is pending gets the whole of it, then FIN, ${when}`, async t => {
    const { app, listen } = await testApp(t, { idleGrace: 0, peerCloseTimeout: 8000 })
    let go = (): void => {}
    const held = new Promise<void>(resolve => { go = resolve })
    let aborted = false
    app.get('/', async ({ raw }) => {
      raw.once('aborted', () => { aborted = true })
      await held
      return long
    })
    const client = await rawClient(t, await listen())
    client.write(request('/'))
    await eventually(() => app.drain.connections.active === 1, 'the request is under way')
    if (when.endsWith('the drain')) app.drain.begin('test')
    client.halfClose()
    // Nothing tells that its FIN has arrived, since nothing must happen.
    await new Promise(resolve => setTimeout(resolve, 100))
    if (when.endsWith('begins')) app.drain.begin('test')
    go()

    await client.fin()
    t.match(answers(client.received), { length: 1, 0: { status: 200, headers: { connection: when === 'in steady state' ? 'keep-alive' : 'close' } } })
    t.ok(answers(client.received)[0]?.body === long)
    t.equal(await client.closed(), null, 'no RST')
    t.equal(aborted, false)
    if (when !== 'in steady state') t.match(await app.drain.begin(), { connections: { 'peer-closed': 1 } })
  })
}

t.test('row 10: http: a client that half-closes behind pipelined requests gets all answers', async t => {
  const { app, listen } = await testApp(t)
  const waiting: Array<() => void> = []
  app.get('/:name', async ({ url }) => {
    await new Promise<void>(resolve => { waiting.push(resolve) })
    return url
  })
  const client = await rawClient(t, await listen())
  client.write(request('/a') + request('/b'))
  client.halfClose()
  await eventually(() => waiting.length === 2, 'both are under way')
  app.drain.begin('test')
  for (const answer of waiting) answer()
  await client.fin()
  t.same(answers(client.received).map(({ body }) => body), ['/a', '/b'])
  t.equal(await client.closed(), null, 'no RST')
})
