import t from 'tap'
import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import * as http1 from '../../../lib/protocols/http1.ts'
import { deferred, eventually } from '../../helpers/app.ts'
import { answers, request } from '../../helpers/raw-client.ts'
import { httpPair } from '../../helpers/unit-http-server.ts'

async function answering (t: { teardown (fn: () => unknown): void }, bytes = request('/')) {
  const open = deferred<ServerResponse>()
  const urls: string[] = []
  const pair = await httpPair(t, ({ url }, answer) => { urls.push(String(url)); open.resolve(answer) })
  pair.client.write(bytes)
  const answer = await open.promise
  let served = 0
  const makeLast = () => {
    const ended = deferred<http1.AnswerEnd>()
    http1.makeLast(pair.socket, answer, () => { served++ }, ended.resolve)
    return ended.promise
  }
  return { ...pair, answer, urls, makeLast, get served () { return served } }
}

t.test('an answer whose head is not out yet says close', async t => {
  const last = await answering(t)
  const ended = last.makeLast()
  last.answer.end('bye')
  t.equal(await ended, 'says-close')
  t.equal(last.served, 1)
  await last.client.until(/bye/)
  t.match(answers(last.client.received), [{ status: 200, headers: { connection: 'close', 'content-length': '3' } }])
  t.notOk(last.socket.destroyed, 'the closing is left to the caller')
  t.notOk(last.client.sawFin)
})

t.test('an answer whose head is out keeps its connection alive', async t => {
  const last = await answering(t)
  last.answer.writeHead(200, { 'content-length': '3' })
  last.answer.flushHeaders()
  const ended = last.makeLast()
  last.answer.end('bye')
  t.equal(await ended, 'keeps-alive')
  await last.client.until(/bye/)
  last.client.write(request('/again'))
  await eventually(() => last.urls.includes('/again'), 'the client may ask again')
})

t.test('row 24: a body without a length is ended by FIN', async t => {
  const last = await answering(t, 'GET / HTTP/1.0\r\n\r\n')
  last.answer.write('a')
  const ended = last.makeLast()
  last.answer.end('b')
  t.equal(await ended, 'ended-by-fin')
})

t.test('row 23: without a body nothing is ended by FIN', async t => {
  const last = await answering(t, request('/', { method: 'HEAD' }))
  const ended = last.makeLast()
  last.answer.writeHead(200)
  last.answer.end()
  t.equal(await ended, 'says-close')
})

/** Two requests that have come at once, and their answers. */
async function pipelining (t: { teardown (fn: () => unknown): void }) {
  const open: ServerResponse[] = []
  const pair = await httpPair(t, (_request, answer) => { open.push(answer) })
  pair.client.write(request('/a') + request('/b'))
  await eventually(() => open.length === 2, 'both were read')
  const [a, b] = open as [ServerResponse, ServerResponse]
  return { ...pair, a, b }
}

t.test('row 4: what is pipelined behind the last answer is answered in order, and counts', async t => {
  const open: ServerResponse[] = []
  const { socket, client } = await httpPair(t, (_request, answer) => { open.push(answer) })
  client.write(request('/a') + request('/b') + request('/c'))
  await eventually(() => open.length === 3, 'all were read')
  const [a, b, c] = open as [ServerResponse, ServerResponse, ServerResponse]
  const ended = deferred<http1.AnswerEnd>()
  let served = 0
  http1.makeLast(socket, a, () => { served++ }, ended.resolve)
  c.end('c')
  b.end('b')
  a.end('a')
  t.equal(await ended.promise, 'says-close')
  t.equal(served, 3)
  await eventually(() => client.received.endsWith('c'), 'the last answer came')
  t.same(answers(client.received).map(({ body }) => body), ['a', 'b', 'c'])
})

t.test('after an answer that said close the end is that, even if the answer behind it was begun before', async t => {
  const { socket, a, b } = await pipelining(t)
  b.writeHead(200, { 'content-length': '1' })
  b.flushHeaders()
  const ended = deferred<http1.AnswerEnd>()
  http1.makeLast(socket, a, () => {}, ended.resolve)
  a.end('a')
  b.end('b')
  t.equal(await ended.promise, 'says-close')
})

t.test('the end is that of the answer behind it, if that one says close and the first one could not any more', async t => {
  const { socket, client, a, b } = await pipelining(t)
  a.writeHead(200, { 'content-length': '1' })
  a.flushHeaders()
  const ended = deferred<http1.AnswerEnd>()
  http1.makeLast(socket, a, () => {}, ended.resolve)
  a.end('a')
  await once(a, 'finish')
  b.end('b')
  t.equal(await ended.promise, 'says-close')
  await client.until(/\r\n\r\nb$/)
  t.match(answers(client.received), [{ body: 'a', headers: { connection: 'keep-alive' } }, { body: 'b', headers: { connection: 'close' } }])
})

t.test('row 4: a writeHead() that the handler has kept from before says close, and drops nothing that is pipelined behind it', async t => {
  const { socket, client, a, b } = await pipelining(t)
  const writeHead = a.writeHead.bind(a)
  const ended = deferred<http1.AnswerEnd>()
  http1.makeLast(socket, a, () => {}, ended.resolve)
  writeHead(200, { 'content-length': '1' })
  a.end('a')
  await once(a, 'finish')
  b.end('b')
  t.equal(await ended.promise, 'says-close')
  await client.until(/\r\n\r\nb$/)
  t.match(answers(client.received), [{ body: 'a', headers: { connection: 'close' } }, { body: 'b', headers: { connection: 'close' } }])
})

for (const connection of ['close', 'x-hop, close']) {
  t.test(`a head that went out with "Connection: ${connection}" is the end, and no further request is executed`, async t => {
    const last = await answering(t)
    last.answer.writeHead(200, { connection, 'content-length': '3' })
    last.answer.flushHeaders()
    const ended = last.makeLast()
    const before = last.socket.bytesRead
    const more = request('/more')
    last.client.write(more)
    await eventually(() => last.socket.bytesRead === before + more.length, 'it was read')
    last.answer.end('bye')
    t.equal(await ended, 'says-close')
    t.same(last.urls, ['/'])
  })
}

t.test('requests that come after an answer that says close are not executed', async t => {
  const last = await answering(t)
  const ended = last.makeLast()
  const before = last.socket.bytesRead
  const more = request('/more') + request('/upgrade', { headers: { connection: 'upgrade', upgrade: 'words' } })
  last.client.write(more)
  await eventually(() => last.socket.bytesRead === before + more.length, 'they were read')
  last.answer.end('bye')
  await ended
  t.same(last.urls, ['/'])
  t.notOk(last.socket.destroyed)
})

for (const [how, write] of [
  ['setHeader()', answer => { answer.setHeader('Connection', 'keep-alive'); answer.writeHead(200) }],
  ['an object', answer => { answer.writeHead(200, { Connection: 'keep-alive', 'x-other': '1' }) }],
  ['an object after a message', answer => { answer.writeHead(200, 'Fine', { connection: 'keep-alive', 'x-other': '1' }) }],
  ['a flat list', answer => { answer.writeHead(200, ['connection', 'keep-alive', 'x-other', 'connection', 'x-last', '1']) }],
  ['a list of pairs', answer => { answer.writeHead(200, [['CONNECTION', 'keep-alive'], ['x-other', '1']] as never) }]
] as Array<[string, (answer: ServerResponse) => void]>) {
  t.test(`a handler that asks for keep-alive by ${how} is overruled`, async t => {
    const last = await answering(t)
    const ended = last.makeLast()
    write(last.answer)
    last.answer.end('bye')
    t.equal(await ended, 'says-close')
    await last.client.until(/bye/)
    const headers = answers(last.client.received)[0]?.headers
    t.equal(headers?.['connection'], 'close')
    if (how !== 'setHeader()') t.equal(headers?.['x-other'], how === 'a flat list' ? 'connection' : '1')
    if (how === 'a flat list') t.equal(headers?.['x-last'], '1')
  })
}

t.test('where Node has no flag for the last request an answer says close in the ordinary way', async t => {
  const last = await answering(t)
  delete (last.answer as { maxRequestsOnConnectionReached?: boolean }).maxRequestsOnConnectionReached
  const ended = last.makeLast()
  t.equal(last.answer.shouldKeepAlive, false)
  last.answer.end('bye')
  t.equal(await ended, 'says-close')
})

t.test('an answer that shows no head counts as one that said close', async t => {
  const { socket } = await httpPair(t)
  const answer = Object.assign(new EventEmitter(), { headersSent: true })
  const ended = deferred<http1.AnswerEnd>()
  http1.makeLast(socket, answer as unknown as ServerResponse, () => {}, ended.resolve)
  answer.emit('finish')
  t.equal(await ended.promise, 'says-close')
})

t.test('on an upgraded socket there is nothing to refuse', async t => {
  const { server, socket, client } = await httpPair(t)
  const upgraded = once(server, 'upgrade')
  client.write(request('/', { headers: { connection: 'upgrade', upgrade: 'words' } }))
  await upgraded
  http1.sayClose(socket, { headersSent: false, writeHead: () => {} } as unknown as ServerResponse)
  t.equal(http1.stateOf(socket), 'upgraded')
})
