import t from 'tap'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { reset } from '../../../lib/os/reset.ts'
import type { RawClient } from '../../helpers/raw-client.ts'
import { discardAll, socketPair } from '../../helpers/socket-pair.ts'

t.test('row 29: after reset() a destroyed socket sends RST', async t => {
  const { socket, client } = await socketPair(t)
  reset(socket)
  socket.destroy()
  t.equal(await client.closed(), 'ECONNRESET')
})

t.test('row 29: RST is sent although there is data that the peer has not read', async t => {
  const { socket, client } = await socketPair(t)
  client.socket.pause()
  socket.write(Buffer.alloc(16_000_000, 'x'))
  await new Promise(resolve => setTimeout(resolve, 100))
  t.ok(socket.writableLength > 0, 'the data is stuck')
  await resetNow(socket)
  t.match(await errorOfWrite(client), /^(ECONNRESET|EPIPE)$/)
})

t.test('row 29: after our FIN was sent RST is sent, too', async t => {
  const { socket, client } = await socketPair(t)
  await new Promise<void>(resolve => { socket.end(resolve) })
  await client.fin()
  await resetNow(socket)
  t.match(await errorOfWrite(client), /^(ECONNRESET|EPIPE)$/)
})

t.test('while a shutdown is pending the socket is closed in the plain way', async t => {
  const { socket, client } = await socketPair(t)
  discardAll(socket)
  client.socket.pause()
  socket.end(Buffer.alloc(16_000_000, 'x'))
  t.ok(socket.writableLength > 0, 'the data is stuck')
  const closed = new Promise<boolean>(resolve => { socket.on('close', resolve) })
  reset(socket)
  socket.destroy()
  t.equal(await closed, false, 'without an error')
  t.notOk('resetAndClosing' in socket && socket.resetAndClosing)
  client.socket.resume()
  await client.fin()
})

t.test('a socket that has gone already is left alone', async t => {
  const { socket } = await socketPair(t)
  socket.destroy()
  reset(socket)
  socket.destroy()
  t.ok(socket.destroyed)
})

t.test('a socket that cannot be reset is left alone', async t => {
  const socket = {} as Socket
  reset(socket)
  t.same(socket, {})
})

async function resetNow (socket: Socket): Promise<void> {
  const closed = once(socket, 'close')
  reset(socket)
  socket.destroy()
  await closed
}

/** Where no RST has come a first write succeeds. */
async function errorOfWrite ({ socket }: RawClient): Promise<string> {
  return new Promise(resolve => {
    socket.write('x', error => { resolve((error as NodeJS.ErrnoException | null)?.code ?? 'no error') })
  })
}
