import t from 'tap'
import { once } from 'node:events'
import * as http1 from '../../../lib/protocols/http1.ts'
import { eventually } from '../../helpers/app.ts'
import { request } from '../../helpers/raw-client.ts'
import { httpPair } from '../../helpers/unit-http-server.ts'

t.test('what arrives after the input is discarded starts no request, and is no broken one', async t => {
  const events: string[] = []
  const { socket, client } = await httpPair(t, (_request, answer) => { events.push('request'); answer.end('hello') }, server => {
    server.on('clientError', () => { events.push('clientError') })
  })
  client.write(request('/'))
  await client.until(/hello/)
  const before = socket.bytesRead
  http1.discardInput(socket)
  client.write(request('/') + 'rubbish\r\n\r\n')
  await eventually(() => socket.bytesRead > before, 'it was read')
  const ended = once(socket, 'end')
  client.halfClose()
  await ended
  t.same(events, ['request'])
})

t.test('reads that nothing has stopped are not begun again: that would be two system calls for each idle connection', async t => {
  const { socket, client } = await httpPair(t)
  client.write(request('/'))
  await client.until(/hello/)
  const handle = (socket as unknown as { _handle: { readStop (): number } })._handle
  const { readStop } = handle
  let stops = 0
  handle.readStop = () => { stops++; return readStop.call(handle) }
  http1.discardInput(socket)
  t.equal(stops, 0)
})

t.test('row 21: a socket that backpressure of an unread body has paused is read to its end', async t => {
  const size = 8_000_000
  // A handler that answers, and never reads.
  const { socket, client } = await httpPair(t, (_request, answer) => { answer.writeHead(413, { 'content-length': '3' }); answer.write('too') })
  client.write(request('/', { method: 'POST', headers: { 'content-length': String(size) } }))
  client.write(Buffer.alloc(size, 'x'))
  await client.until(/too/)
  let before = -1
  while (socket.bytesRead !== before) {
    before = socket.bytesRead
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  t.ok(before < size, 'the reads have stopped')

  http1.discardInput(socket)
  const ended = once(socket, 'end')
  client.halfClose()
  await ended
  t.ok(socket.bytesRead > size)
})

t.test('half a request that was being parsed is forgotten', async t => {
  const { socket, client } = await httpPair(t)
  client.write('POST / HTTP/1.1\r\nhost: te')
  await eventually(() => socket.bytesRead > 0, 'it was read')
  http1.discardInput(socket)
  client.write('st\r\n\r\n')
  const ended = once(socket, 'end')
  client.halfClose()
  await ended
  socket.end()
  await client.fin()
  t.equal(client.received, '')
})

t.test('an upgraded socket, and one that has ended, can be discarded', async t => {
  const { server, socket, client } = await httpPair(t)
  const upgraded = once(server, 'upgrade')
  client.write(request('/', { headers: { connection: 'upgrade', upgrade: 'words' } }))
  await upgraded
  http1.discardInput(socket)
  client.write('words')
  const ended = once(socket, 'end')
  client.halfClose()
  await ended
  http1.discardInput(socket)
  t.notOk(socket.destroyed)
  socket.destroy()
  http1.discardInput(socket)
})
