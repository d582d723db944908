import t from 'tap'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import * as http1 from '../../../lib/protocols/http1.ts'
import { deferred, eventually } from '../../helpers/app.ts'
import { request } from '../../helpers/raw-client.ts'
import { httpPair } from '../../helpers/unit-http-server.ts'

const chunked = { method: 'POST', headers: { 'transfer-encoding': 'chunked' } }
const sized = { method: 'POST', headers: { 'content-length': '10' } }

t.test('a socket that Node\'s HTTP/1.x server has is known as such', async t => {
  const { socket } = await httpPair(t)
  t.equal(http1.isHttp1(socket), true)
  t.equal(http1.isHttp1(new Socket()), false)
})

t.test('between requests a connection is idle', async t => {
  const { socket, client } = await httpPair(t)
  t.equal(http1.stateOf(socket), 'idle')
  client.write(request('/'))
  await client.until(/hello/)
  t.equal(http1.stateOf(socket), 'idle')
  t.same(http1.describe(socket), { method: null, route: null })
  t.equal(http1.currentAnswer(socket), null)
  t.equal(http1.incompleteRequest(socket), null)
})

t.test('an empty line makes a connection not active', async t => {
  const { socket, client } = await httpPair(t)
  client.write('\r\n')
  await eventually(() => socket.bytesRead === 2, 'it was read')
  t.equal(http1.stateOf(socket), 'idle')
})

for (const [what, bytes, rest] of [
  ['one byte of a request', 'G', 'ET / HTTP/1.1\r\nhost: test\r\n\r\n'],
  ['half a request line', 'GET /hel', 'lo HTTP/1.1\r\nhost: test\r\n\r\n'],
  ['a request line', 'GET / HTTP/1.1\r\n', 'host: test\r\n\r\n'],
  ['half a head', 'GET / HTTP/1.1\r\nhost: te', 'st\r\n\r\n'],
  ['a head without its last line', 'GET / HTTP/1.1\r\nhost: test\r\n', '\r\n']
] as const) {
  t.test(`row 14: with ${what} a connection is active, on a first and on a later request`, async t => {
    const { socket, client } = await httpPair(t)
    for (const round of [1, 2]) {
      const before = socket.bytesRead
      client.write(bytes)
      await eventually(() => socket.bytesRead === before + bytes.length, 'it was read')
      t.equal(http1.stateOf(socket), 'active')
      t.equal(http1.stateOf(socket), 'active', 'asking changes nothing')
      client.write(rest)
      await client.until(received => received.split('hello').length === round + 1)
      t.equal(http1.stateOf(socket), 'idle')
    }
  })
}

for (const [what, head, half, rest] of [
  ['content-length', sized, '12345', '67890'],
  ['chunked', chunked, '5\r\n12345\r\n', '5\r\n67890\r\n0\r\n\r\n'],
  ['chunked, in the middle of a chunk', chunked, '5\r\n123', '45\r\n0\r\n\r\n'],
  ['chunked, before the trailers', chunked, '5\r\n12345\r\n0\r\n', 'x: y\r\n\r\n']
] as const) {
  t.test(`with half a body (${what}) a connection is active, also when it was answered already`, async t => {
    const { socket, client } = await httpPair(t, (request, answer) => {
      if (request.url === '/early') answer.end('early')
      else request.resume().on('end', () => answer.end('late'))
    })
    for (const path of ['/late', '/early']) {
      client.write(request(path, head) + half)
      if (path === '/early') await client.until(/early/)
      await eventually(() => http1.incompleteRequest(socket)?.url === path, 'the head was read')
      t.equal(http1.stateOf(socket), 'active')
      t.equal(http1.currentAnswer(socket) === null, path === '/early')
      client.write(rest)
      await eventually(() => http1.stateOf(socket) === 'idle', 'it was idle again')
      t.equal(http1.incompleteRequest(socket), null)
    }
    await client.until(/late[^]*early/)
  })
}

t.test('as long as an answer is open a connection is active, and its request has a name', async t => {
  const answering = deferred<ServerResponse>()
  const { socket, client } = await httpPair(t, (_request, answer) => answering.resolve(answer))
  client.write(request('/orders/7?token=secret', { method: 'DELETE' }))
  const answer = await answering.promise
  t.equal(http1.stateOf(socket), 'active')
  t.same(http1.describe(socket), { method: 'DELETE', route: '/orders/7' })
  t.equal(http1.currentAnswer(socket), answer)
  answer.write('x')
  t.equal(http1.stateOf(socket), 'active')
  answer.end()
  await eventually(() => http1.stateOf(socket) === 'idle', 'it was idle again')
})

t.test('asking for the state after every byte changes nothing', async t => {
  const bodies: string[] = []
  const { socket, client } = await httpPair(t, (request, answer) => {
    let body = ''
    request.on('data', part => { body += part }).on('end', () => { bodies.push(body); answer.end('ok') })
  })
  const states = new Set<string>()
  const stream = request('/a', { method: 'POST', body: '12345' }) +
    request('/b', chunked) + '3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: z\r\n\r\n' +
    request('/c')
  for (const [i, byte] of [...stream].entries()) {
    client.write(byte)
    await eventually(() => socket.bytesRead === i + 1, 'the byte was read')
    states.add(http1.stateOf(socket))
  }
  await client.until(/(200 OK[^]*){3}/)
  t.same(bodies, ['12345', 'abcde', ''])
  t.same(states, new Set(['active', 'idle']))
})

for (const method of ['GET', 'CONNECT']) {
  t.test(`row 15: after ${method === 'GET' ? 'an upgrade' : method} a connection is upgraded`, async t => {
    const { server, socket, client } = await httpPair(t)
    const upgraded = once(server, method === 'GET' ? 'upgrade' : 'connect')
    client.write(request('/chat', { method, headers: { connection: 'upgrade', upgrade: 'words' } }))
    const [, stream] = await upgraded
    t.equal(stream, socket)
    t.equal(http1.stateOf(socket), 'upgraded')
    t.equal(http1.incompleteRequest(socket), null)
    t.same(http1.describe(socket), { method: null, route: null })
  })
}

t.test('a timeout belongs to whoever listens for it on the request or on the answer', async t => {
  for (const [listener, expected] of [['none', false], ['request', true], ['answer', true]] as const) {
    const { socket, client } = await httpPair(t, (request, answer) => {
      if (listener === 'request') request.on('timeout', () => {})
      if (listener === 'answer') answer.on('timeout', () => {})
    })
    t.equal(http1.handlesTimeout(socket), false)
    client.write(request('/', sized) + '12345')
    await eventually(() => http1.currentAnswer(socket) !== null, 'the request was read')
    t.equal(http1.handlesTimeout(socket), expected, listener)
    client.write('67890')
    await eventually(() => http1.incompleteRequest(socket) === null, 'the request was complete')
    t.equal(http1.handlesTimeout(socket), listener === 'answer', 'as in Node, a complete request does not count')
  }
})
