import t from 'tap'
import { once } from 'node:events'
import { createServer, Socket } from 'node:net'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { socketPair } from '../../helpers/socket-pair.ts'

t.test('sockets and listeners have a descriptor as long as they are open', { skip: process.platform === 'win32' }, async t => {
  const server = createServer()
  t.equal(descriptorOf(server), null)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.ok((descriptorOf(server) as number) > 2)
  server.close()
  t.equal(descriptorOf(server), null)

  const { socket } = await socketPair(t)
  t.ok((descriptorOf(socket) as number) > 2)
  socket.destroy()
  t.equal(descriptorOf(socket), null)
})

t.test('what Node does not tell is null', async t => {
  t.equal(descriptorOf(new Socket()), null)
  for (const handle of [null, {}, { fd: -1 }, { fd: '3' }]) t.equal(descriptorOf({ _handle: handle } as unknown as Socket), null)
  t.equal(descriptorOf({ _handle: { fd: 0 } } as unknown as Socket), 0)
})
