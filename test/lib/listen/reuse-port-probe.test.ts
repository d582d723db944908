import t from 'tap'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { systemClock } from '../../../lib/clock.ts'
import { leaveGroup } from '../../../lib/listen/reuse-port.ts'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { bindShared, steerTo } from '../../../lib/os/reuse-port.ts'
import { Sockets } from '../../../lib/os/sockets.ts'
import { hasIPv6 } from '../../helpers/drain-localhost.ts'
import { native, skip } from '../../helpers/unit-native.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** Listeners that share a port. */
async function group (t: Teardown, count: number, host = '127.0.0.1', port = 0): Promise<Server[]> {
  const servers: Server[] = []
  for (let i = 0; i < count; i++) {
    const server = createServer(socket => socket.on('error', () => {}).resume())
    server.listen({ fd: bindShared(native, host, port, false) as number })
    await once(server, 'listening')
    t.teardown(() => server.close())
    port = (server.address() as AddressInfo).port
    servers.push(server)
  }
  return servers
}

const env = { native, sockets: new Sockets(skip === false ? native : null), clock: systemClock }

function isSteered (server: Server): boolean {
  try {
    native.setOption(descriptorOf(server) as number, 'SO_DETACH_REUSEPORT_BPF', 0)
    return true
  } catch {
    return false
  }
}

function nobodyStops (): void {
  throw new Error('the listener must stay open')
}

t.test('a leaver that drops connections knows its own, and sends new ones to the others', { skip }, async t => {
  const [first, last] = await group(t, 2) as [Server, Server]
  const client = (): void => {
    const socket = connect((last.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
    t.teardown(() => socket.destroy())
  }
  last.maxConnections = 1
  steerTo(native, descriptorOf(last) as number, 1)
  client()
  await once(last, 'connection')

  let elsewhere: Promise<unknown> = Promise.reject(new Error('it has not stopped'))
  elsewhere.catch(() => {})
  await leaveGroup(last, () => {
    elsewhere = once(first, 'connection', { signal: AbortSignal.timeout(5000) })
    client()
  }, env)
  t.ok(await elsewhere)
})

t.test('a leaver on all addresses is not misled by somebody who has one of them for himself', { skip }, async t => {
  const [first, last] = await group(t, 2, '0.0.0.0') as [Server, Server]
  const { port } = last.address() as AddressInfo
  await group(t, 1, '127.0.0.1', port)
  let elsewhere: Promise<unknown> = Promise.reject(new Error('it has not stopped'))
  elsewhere.catch(() => {})
  await leaveGroup(last, () => {
    elsewhere = once(first, 'connection', { signal: AbortSignal.timeout(5000) })
    const socket = connect(port, '127.0.0.9')
    t.teardown(() => socket.destroy())
  }, env)
  t.ok(await elsewhere)
})

t.test('where each address by which the leaver could connect to itself is somebody else\'s, the listener stays open', { skip: skip || (hasIPv6() ? false : 'there is no IPv6 here') }, async t => {
  const [first] = await group(t, 2, '::') as [Server]
  await group(t, 1, '::1', (first.address() as AddressInfo).port)
  await t.rejects(leaveGroup(first, nobodyStops, env), /somebody else listens on port \d+ of ::1/)
  t.notOk(isSteered(first))
})
