import t from 'tap'
import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { endAfterAnswers } from '../../../lib/protocols/http1.ts'
import { eventually } from '../../helpers/app.ts'
import { answers, request } from '../../helpers/raw-client.ts'
import { httpPair } from '../../helpers/unit-http-server.ts'

async function setUp (t: { teardown (fn: () => unknown): void }, requests = 0) {
  const open: ServerResponse[] = []
  const pair = await httpPair(t, (_request, answer) => { open.push(answer) })
  pair.socket.end = endAfterAnswers
  for (let i = 0; i < requests; i++) pair.client.write(request(`/${i}`))
  await eventually(() => open.length === requests, 'the requests were read')
  return { ...pair, open }
}

t.test('row 10: a client that half-closes after its request gets the whole answer, then FIN', async t => {
  const { socket, client, open } = await setUp(t, 1)
  client.halfClose()
  await eventually(() => socket.readableEnded, 'the FIN was read')
  open[0]?.write('a')
  await client.until(/a/)
  t.notOk(socket.writableEnded)
  open[0]?.end('b')
  await client.fin()
  t.match(answers(client.received), [{ status: 200, body: 'ab' }])
  t.equal(await client.closed(), null, 'no RST')
})

t.test('row 10: a client that half-closes after several requests gets all the answers, then FIN', async t => {
  const { socket, client, open } = await setUp(t, 3)
  client.halfClose()
  await eventually(() => socket.readableEnded, 'the FIN was read')
  for (const [i, answer] of open.entries()) {
    t.notOk(socket.writableEnded)
    answer.end(String(i))
    await client.until(received => received.endsWith(String(i)))
  }
  await client.fin()
  t.same(answers(client.received).map(({ body }) => body), ['0', '1', '2'])
})

t.test('where no answer is open the FIN of the client is answered at once', async t => {
  const { client } = await setUp(t)
  client.halfClose()
  await client.fin()
  t.equal(await client.closed(), null)
})

for (const [type, ends] of [
  ['text/event-stream', true],
  ['Text/Event-Stream; charset=utf-8', true],
  ['application/x-text/event-stream', false],
  ['text/html', false]
] as const) {
  t.test(`row 17: the FIN of a reader of ${type} ${ends ? 'ends' : 'does not end'} the stream`, async t => {
    const { socket, client, open } = await setUp(t, 1)
    const [answer] = open
    answer?.writeHead(200, { 'x-first': '1', 'content-type': type })
    answer?.write('x')
    await client.until(/x\r\n$/)
    client.halfClose()
    await eventually(() => socket.readableEnded, 'the FIN was read')
    await new Promise(resolve => setImmediate(resolve))
    t.equal(socket.writableEnded, ends)
  })
}

t.test('before the client has half-closed end() is what it always was', async t => {
  const { socket, client } = await setUp(t, 1)
  t.equal(socket.end(), socket)
  t.ok(socket.writableEnded)
  await client.fin()
})

t.test('with data end() is what it always was', async t => {
  const { socket, client } = await setUp(t, 1)
  client.halfClose()
  await eventually(() => socket.readableEnded, 'the FIN was read')
  socket.end('bytes')
  t.ok(socket.writableEnded)
  await client.fin()
  t.equal(client.received, 'bytes')
})

t.test('an answer that is left over on an upgraded socket is not waited for', async t => {
  const { server, socket, client } = await setUp(t)
  const upgraded = once(server, 'upgrade')
  client.write(request('/', { headers: { connection: 'upgrade', upgrade: 'words' } }))
  await upgraded
  socket.resume()
  Object.assign(socket, { _httpMessage: new EventEmitter() })
  client.halfClose()
  await eventually(() => socket.readableEnded, 'its FIN was read')
  socket.end()
  await client.fin()
})
