import t from 'tap'
import { once } from 'node:events'
import { Socket, type AddressInfo } from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import { transportOf } from '../../../lib/protocols/tls.ts'
import { tlsOptions } from '../../helpers/tls.ts'

t.test('below a TLSSocket is the socket that the server accepted', async t => {
  const server = tls.createServer(tlsOptions)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const secured = once(server, 'secureConnection') as Promise<[TLSSocket]>
  const client = tls.connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', rejectUnauthorized: false })
  t.teardown(() => client.destroy())
  const [[raw], [socket]] = await Promise.all([accepted, secured])
  t.not(socket, raw)
  t.equal(transportOf(socket), raw)
})

t.test('a plain socket is its own transport', async t => {
  const socket = new Socket()
  t.equal(transportOf(socket), socket)
})
