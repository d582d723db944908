import t from 'tap'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { addressText, canonical, tcpAddressOf } from '../../../lib/os/address.ts'

t.test('an IPv6 address has one text, the shortest', async t => {
  t.equal(canonical('::'), '::')
  t.equal(canonical('0:0:0:0:0:0:0:1'), '::1')
  t.equal(canonical('2001:DB8:0:0:0:0:0:A'), '2001:db8::a')
  t.equal(canonical('::ffff:127.0.0.1'), '::ffff:127.0.0.1')
  t.equal(canonical('::ffff:7f00:1'), '::ffff:127.0.0.1')
  t.equal(canonical('fe80::1%eth0'), 'fe80::1')
})

t.test('any other text stays as it is', async t => {
  for (const text of ['127.0.0.1', '0.0.0.0', 'localhost', 'example.com', '', '::1::', '[::1]']) t.equal(canonical(text), text)
})

t.test('4 bytes are an IPv4 address, 16 an IPv6 address', async t => {
  t.equal(addressText(Uint8Array.of(192, 0, 2, 255)), '192.0.2.255')
  t.equal(addressText(new Uint8Array(4)), '0.0.0.0')
  t.equal(addressText(new Uint8Array(16)), '::')
  t.equal(addressText(Uint8Array.of(0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)), '2001:db8::1')
  t.equal(addressText(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1)), '::ffff:127.0.0.1')
})

t.test('the address of a server is known as long as it listens on TCP', { skip: process.platform !== 'linux' }, async t => {
  const server = createServer()
  t.equal(tcpAddressOf(server), null)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.match(tcpAddressOf(server), { address: '127.0.0.1', port: (server.address() as AddressInfo).port })
  server.close()
  t.equal(tcpAddressOf(server), null)

  const unix = createServer()
  await once(unix.listen(`\0fastify-drain/test/${process.pid}`), 'listening')
  t.equal(tcpAddressOf(unix), null)
  unix.close()
})
