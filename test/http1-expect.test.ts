import t from 'tap'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { testApp } from './helpers/app.ts'
import { takesBytes } from './helpers/http1-bytes.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

type TestOptions = Parameters<typeof testApp>[1]

const body = '{"sent":"later"}'
const head = request('/', {
  method: 'POST',
  headers: { expect: '100-continue', 'content-type': 'application/json', 'content-length': String(body.length) }
})

async function echoApp (t: Parameters<typeof testApp>[0], options: TestOptions = {}) {
  const { app, listen } = await testApp(t, options)
  app.post('/', async ({ body }) => body)
  return { app, listen }
}

t.test('row 5: http: a client that was told to continue before the drain began may send its body after the grace', async t => {
  const { app, listen } = await echoApp(t, { idleGrace: 50 })
  const to = await listen()
  const idle = await rawClient(t, to)
  const client = await rawClient(t, to)
  client.write(head)
  await client.until(/100 Continue\r\n\r\n/)

  const closing = app.drain.begin('test')
  await idle.fin()
  client.write(body)
  await client.fin()
  const [toContinue, answer] = answers(client.received)
  t.same(toContinue, { status: 100, headers: {}, body: '' })
  t.match(answer, { status: 200, body, headers: { connection: 'close' } })
  client.halfClose()
  t.equal(await client.closed(), null, 'no RST')
  idle.halfClose()
  t.match(await closing, { requests: { served: 1 }, connections: { cut: 0, destroyed: 0 } })
})

t.test('row 5: http: an expectation that comes within idleGrace is met, and its body may come when the grace is over', async t => {
  const { app, listen } = await echoApp(t, { idleGrace: 300 })
  const to = await listen()
  const idle = await rawClient(t, to)
  const client = await rawClient(t, to)
  app.drain.begin('test')
  client.write(head)
  await client.until(/100 Continue\r\n\r\n/)
  await idle.fin()
  client.write(body)
  await client.fin()
  const [toContinue, answer] = answers(client.received)
  t.same(toContinue, { status: 100, headers: {}, body: '' })
  t.match(answer, { status: 200, body, headers: { connection: 'close' } })
})

t.test('row 5: http: an unknown expectation is refused with 417 and close, and what follows it is discarded', async t => {
  const { app, listen } = await echoApp(t)
  const client = await rawClient(t, await listen())
  const closing = app.drain.begin('test')
  client.write(head.replace('100-continue', 'a-miracle'))
  await client.fin()
  t.match(answers(client.received), { length: 1, 0: { status: 417, headers: { connection: 'close' } } })
  t.ok(await takesBytes(client, body), 'no RST')
  client.halfClose()
  t.equal(await client.closed(), null)
  t.match(await closing, { requests: { served: 1 }, connections: { cut: 0, destroyed: 0 } })
})

t.test('row 5: http: a listener of the app that meets expectations late, or not at all, is left to it', async t => {
  const { app, listen } = await echoApp(t, { idleGrace: 50 })
  const expectations: Array<[IncomingMessage, ServerResponse]> = []
  app.server.on('checkContinue', (request, answer) => { expectations.push([request, answer]) })
  const to = await listen()
  const idle = await rawClient(t, to)
  const [met, refused] = await Promise.all([rawClient(t, to), rawClient(t, to)])
  for (const client of [met, refused]) {
    const asked = once(app.server, 'checkContinue')
    client.write(head)
    await asked
  }

  const closing = app.drain.begin('test')
  await idle.fin()
  idle.halfClose()
  const [[request, answer] = [], [, refusal] = []] = expectations
  answer?.writeContinue()
  app.server.emit('request', request, answer)
  await met.until(/100 Continue/)
  met.write(body)
  refusal?.writeHead(403).end('no')

  await Promise.all([met.fin(), refused.fin()])
  const [toContinue, final] = answers(met.received)
  t.same(toContinue, { status: 100, headers: {}, body: '' })
  t.match(final, { status: 200, body, headers: { connection: 'close' } })
  t.match(answers(refused.received), { length: 1, 0: { status: 403, headers: { connection: 'close' } } })
  t.ok(await takesBytes(refused, body), 'no RST')
  met.halfClose()
  refused.halfClose()
  t.match(await closing, { requests: { served: 2 }, connections: { total: 3, cut: 0, destroyed: 0 } })
})

t.test('row 5: http: a listener of the app that hears of an expectation during the drain answers with close', async t => {
  const { app, listen } = await echoApp(t)
  app.server.on('checkContinue', (request, answer) => {
    answer.writeContinue()
    request.resume().on('end', () => answer.end('thanks'))
  })
  app.server.on('checkExpectation', (_request, answer) => { answer.writeHead(400).end('never heard of it') })
  const to = await listen()
  const clients = await Promise.all([rawClient(t, to), rawClient(t, to)])
  app.drain.begin('test')
  clients[0]?.write(head + body)
  clients[1]?.write(head.replace('100-continue', 'a-miracle'))
  await Promise.all(clients.map(client => client.fin()))
  t.match(answers(clients[0]?.received ?? ''), {
    length: 2,
    0: { status: 100 },
    1: { status: 200, body: 'thanks', headers: { connection: 'close' } }
  })
  t.match(answers(clients[1]?.received ?? ''), { length: 1, 0: { status: 400, headers: { connection: 'close' } } })
})

t.test('row 5: http: an expectation that nobody ever follows up is cut at the deadline', async t => {
  const { app, listen } = await echoApp(t, { idleGrace: 0, hardStopAfter: 400 })
  const client = await rawClient(t, await listen())
  client.write(head)
  await client.until(/100 Continue/)
  const report = await app.drain.begin('test')
  t.match(report, { connections: { cut: 1 }, stragglers: { length: 1, 0: { method: 'POST', route: '/', state: 'active', outcome: 'cut' } } })
})
