import t from 'tap'
import type { FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import { eventually, testApp } from './helpers/app.ts'
import { takesBytes } from './helpers/http1-bytes.ts'
import { answers, rawClient, request, type RawClient } from './helpers/raw-client.ts'

const finals = [
  { what: 'HEAD', method: 'HEAD', path: '/', expected: { status: 200, headers: { 'content-length': '5' } } },
  { what: '204', method: 'GET', path: '/204', expected: { status: 204 } },
  { what: '304', method: 'GET', path: '/304', expected: { status: 304, headers: { etag: '"same"' } } }
]

for (const { what, method, path, expected } of finals) {
  t.test(`row 23: http: an answer without a body (${what}) says close, and nothing follows its head but FIN`, async t => {
    const { app, listen } = await testApp(t)
    app.get('/', async () => 'hello')
    app.get('/204', async (_request, reply) => reply.code(204).send())
    app.get('/304', async (_request, reply) => reply.code(304).header('etag', '"same"').send())
    const client = await rawClient(t, await listen())
    const closing = app.drain.begin('test')
    client.write(request(path, { method }))
    await client.fin()
    const [answer, ...more] = answers(client.received, { heads: true })
    t.match(answer, expected)
    t.equal(answer?.headers['connection'], 'close')
    t.same(more, [])
    client.halfClose()
    t.equal(await client.closed(), null, 'no RST')
    t.match(await closing, { requests: { served: 1 }, connections: { 'half-closed': 1 } })
  })
}

t.test('row 23: http: interim answers (1xx) do not say close, the final one does', async t => {
  const { app, listen } = await testApp(t)
  app.post('/', async (_request, reply) => {
    reply.raw.writeProcessing()
    await new Promise<void>(resolve => { reply.raw.writeEarlyHints({ link: '</style.css>; rel=preload' }, resolve) })
    return 'hello'
  })
  const client = await rawClient(t, await listen())
  app.drain.begin('test')
  client.write(request('/', { method: 'POST', body: 'a', headers: { expect: '100-continue', 'content-type': 'text/plain' } }))
  await client.fin()
  const all = answers(client.received)
  t.same(all.slice(0, -1), [
    { status: 100, headers: {}, body: '' },
    { status: 102, headers: {}, body: '' },
    { status: 103, headers: { link: '</style.css>; rel=preload' }, body: '' }
  ])
  t.match(all.at(-1), { status: 200, body: 'hello', headers: { connection: 'close' } })
})

/** A client that has sent these bytes, and whose answer is complete; the drain begins when it is told to, if at all. */
async function streamedTo (t: Parameters<typeof testApp>[0], when: string, bytes: string): Promise<RawClient> {
  const { app, listen } = await testApp(t, { idleGrace: 5000, peerCloseTimeout: 8000 })
  const body = new Readable({ read () {} })
  body.push('first, ')
  app.get('/', async (_request, reply) => reply.send(body))
  const client = await rawClient(t, await listen())
  if (when === 'during the drain') app.drain.begin('test')
  client.write(bytes)
  await client.until(/first/)
  if (when === 'when the drain begins in the middle') app.drain.begin('test')
  body.push('second')
  body.push(null)
  return client
}

for (const when of ['in steady state', 'when the drain begins in the middle', 'during the drain']) {
  for (const keepAlive of ['', 'Connection: keep-alive\r\n']) {
    const who = `an HTTP/1.0 client ${keepAlive === '' ? 'without' : 'with'} keep-alive`
    t.test(`row 24: http: the body without a length of ${who} is ended by FIN at once, never by RST, ${when}`, async t => {
      const began = performance.now()
      const client = await streamedTo(t, when, `GET / HTTP/1.0\r\n${keepAlive}\r\n`)
      await client.fin()
      t.ok(performance.now() - began < 7000, 'peerCloseTimeout is not waited for')
      const [answer] = answers(client.received)
      t.match(answer, { status: 200, body: 'first, second', headers: { connection: 'close' } })
      t.notOk(answer?.headers['transfer-encoding'] ?? answer?.headers['content-length'])
      t.ok(await takesBytes(client, request('/')), 'no RST')
      client.halfClose()
      t.equal(await client.closed(), null)
    })
  }
}

for (const keepAlive of ['', 'Connection: keep-alive\r\n']) {
  const who = `an HTTP/1.0 client ${keepAlive === '' ? 'without' : 'with'} keep-alive`
  t.test(`row 24: http: ${who} is told to close, and gets FIN, never RST`, async t => {
    const { app, listen } = await testApp(t)
    let arrived = false
    let go = (): void => {}
    const held = new Promise<void>(resolve => { go = resolve })
    app.get('/', async () => { arrived = true; await held; return 'hello' })
    const to = await listen()
    const [busy, idle] = [await rawClient(t, to), await rawClient(t, to)]
    busy.write(`GET / HTTP/1.0\r\n${keepAlive}\r\n`)
    await eventually(() => arrived, 'the request is under way')
    const closing = app.drain.begin('test')
    idle.write(`GET / HTTP/1.0\r\n${keepAlive}\r\n`)
    go()
    for (const client of [busy, idle]) {
      await client.fin()
      t.match(answers(client.received), { length: 1, 0: { status: 200, body: 'hello', headers: { connection: 'close' } } })
      t.ok(await takesBytes(client, request('/')), 'no RST')
      client.halfClose()
      t.equal(await client.closed(), null)
    }
    t.match(await closing, { requests: { served: 2 }, connections: { total: 2, 'half-closed': 2 } })
  })
}

const length = ['content-length', '5']

const ways: Record<string, (reply: FastifyReply) => unknown> = {
  'reply.header()': reply => reply.header('connection', 'keep-alive').send('hello'),
  'reply.raw.setHeader()': reply => {
    reply.raw.setHeader('Connection', 'keep-alive')
    return reply.send('hello')
  },
  'reply.raw.setHeader() and an implicit head': reply => {
    reply.hijack().raw.setHeader('CONNECTION', 'keep-alive')
    reply.raw.end('hello')
  },
  'reply.raw.writeHead() with an object': reply => {
    reply.hijack().raw.writeHead(200, { Connection: 'keep-alive', 'content-length': 5 }).end('hello')
  },
  'reply.raw.writeHead() with a status message': reply => {
    reply.hijack().raw.writeHead(200, 'Fine', { connection: 'Keep-Alive', 'content-length': 5 }).end('hello')
  },
  'reply.raw.writeHead() with a flat list': reply => {
    reply.hijack().raw.writeHead(200, ['Connection', 'keep-alive', ...length]).end('hello')
  },
  'reply.raw.writeHead() with a list of pairs': reply => {
    reply.hijack().raw.writeHead(200, [['Connection', 'keep-alive'], length] as unknown as string[]).end('hello')
  },
  'reply.raw.setHeader() and reply.raw.writeHead()': reply => {
    reply.hijack().raw.setHeader('connection', 'keep-alive')
    reply.raw.writeHead(200, { 'content-length': 5 }).end('hello')
  }
}

for (const [way, answer] of Object.entries(ways)) {
  t.test(`a handler that sets Connection: keep-alive by ${way} says close during a drain, and only then`, async t => {
    const { app, listen } = await testApp(t)
    let executed = 0
    app.get('/', (_request, reply) => { executed++; answer(reply) })
    const client = await rawClient(t, await listen())
    client.write(request('/'))
    await client.until(/hello/)
    const closing = app.drain.begin('test')
    client.write(request('/') + request('/'))
    await client.fin()
    const [before, during, ...more] = answers(client.received)
    t.match(before, { status: 200, headers: { connection: /^keep-alive$/i }, body: 'hello' })
    t.match(during, { status: 200, headers: { connection: 'close' }, body: 'hello' })
    t.same(more, [])
    t.equal(executed, 2)
    client.halfClose()
    t.equal(await client.closed(), null, 'no RST')
    t.match(await closing, { requests: { served: 1 } })
  })
}
