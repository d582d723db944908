import t from 'tap'
import { once } from 'node:events'
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Observer } from '../../lib/observer.ts'
import { UpgradeClosers } from '../../lib/protocols/upgraded.ts'
import { deferred, eventually } from '../helpers/app.ts'
import { request, type RawClient } from '../helpers/raw-client.ts'
import { none, setUp as connections } from '../helpers/unit-connections.ts'

interface Teardown { teardown (fn: () => unknown): void }

const upgrade = request('/', { headers: { connection: 'upgrade', upgrade: 'words' } })

/** Connections whose owners can be called, and are told of when they are. */
async function setUp (t: Teardown, { closeSpread = 0, observer }: { closeSpread?: number, observer?: Observer } = {}) {
  const closers = new UpgradeClosers(error => { throw error })
  const hijacked = deferred<ServerResponse>()
  const all = await connections(t, (_request, answer) => { hijacked.resolve(answer) }, { closeSpread }, { closers, ...observer === undefined ? {} : { observer } })
  const server = all.server as Server
  server.on('upgrade', (_request, socket) => { socket.resume() })
  const closed: number[] = []
  const own = (socket: Socket): void => { closers.add(socket, () => { closed.push(all.clock.now()) }) }
  const connectUpgraded = async (client?: RawClient): Promise<Socket> => {
    const upgraded = once(server, 'upgrade') as Promise<[unknown, Socket]>
    ;(client ?? await all.connect()).write(upgrade)
    const [, socket] = await upgraded
    own(socket)
    return socket
  }
  return { ...all, server, own, connectUpgraded, hijacked: hijacked.promise, closed }
}

t.test('owners of upgraded sockets are called when connections are closed, and not before', async t => {
  const { clock, connections, connectUpgraded, retire, close, closed } = await setUp(t)
  await connectUpgraded()
  t.strictSame(connections.counts(), { ...none, upgraded: 1 })
  retire()
  await clock.pass(500)
  t.same(closed, [])
  await close()
  await clock.pass(0)
  t.same(closed, [500])
})

t.test('with closeSpread they are called one after another', async t => {
  const { clock, connectUpgraded, retire, close, closed } = await setUp(t, { closeSpread: 1000 })
  await connectUpgraded()
  await connectUpgraded()
  retire()
  await close()
  await clock.pass(1000)
  t.same(closed, [0, 500])
})

t.test('the owner of a socket that is upgraded behind that is called at once', async t => {
  const { clock, connect, connectUpgraded, retire, close, closed } = await setUp(t)
  const client = await connect()
  retire()
  await close()
  await clock.pass(100)
  await connectUpgraded(client)
  await clock.pass(0)
  t.same(closed, [100])
})

t.test('before connections are closed an upgrade calls nobody', async t => {
  const { clock, connectUpgraded, retire, closed } = await setUp(t)
  retire()
  await connectUpgraded()
  await clock.pass(10_000)
  t.same(closed, [])
})

t.test('a socket that was taken over from HTTP, which does not know of it, has its owner called as well', async t => {
  const { clock, connections, connect, own, hijacked, retire, close, closed } = await setUp(t)
  const client = await connect()
  client.write(request('/'))
  const { socket } = await hijacked
  own(socket as Socket)
  retire()
  await close()
  await clock.pass(0)
  t.same(closed, [0])
  t.strictSame(connections.counts(), { ...none, active: 1 })
})

/** A WebSocket that its library has put on this socket. */
function webSocketOn (socket: Socket, told: string[]): void {
  Object.assign(socket, { [Symbol('websocket')]: { bufferedAmount: 0, close: (code: number) => { told.push(`close ${code}`) }, terminate () {}, ping () {} } })
}

t.test('WebSockets are told when connections are closed, and at once from then on; not before', async t => {
  const told: string[] = []
  const observer: Observer = { isActive: true, wantsStates: true, opened () {}, changed () {}, closed () {}, phase () {}, finished () {} }
  const { clock, connect, retire, close, server } = await setUp(t, { observer })
  server.prependListener('upgrade', (_request, socket) => webSocketOn(socket as Socket, told))
  const clients = [await connect(), await connect(), await connect()] as const
  const upgradeNow = async (client: RawClient): Promise<void> => {
    const upgraded = once(server, 'upgrade')
    client.write(upgrade)
    await upgraded
    await clock.pass(100)
  }
  await upgradeNow(clients[0])
  retire()
  await upgradeNow(clients[1])
  t.same(told, [])
  await close()
  await clock.pass(0)
  t.same(told, ['close 1001', 'close 1001'])
  await upgradeNow(clients[2])
  t.equal(told.length, 3)
})

t.test('observers hear of an upgrade, and of the end of the socket', async t => {
  const told: string[] = []
  const observer: Observer = {
    isActive: true,
    wantsStates: true,
    opened () {},
    changed: connection => { told.push(connection.state) },
    closed: connection => { told.push(`closed ${connection.outcome}`) },
    phase () {},
    finished () {}
  }
  const { connections, connect, connectUpgraded } = await setUp(t, { observer })
  const client = await connect()
  await connectUpgraded(client)
  await eventually(() => told.includes('upgraded'), 'the upgrade')
  client.reset()
  await eventually(() => connections.size === 0, 'its end')
  t.same(told, ['upgraded', 'closed peer-closed'])
})

t.test('nobody has to listen', async t => {
  const { connections, connect, connectUpgraded } = await setUp(t)
  const client = await connect()
  await connectUpgraded(client)
  client.halfClose()
  t.strictSame(connections.counts(), { ...none, upgraded: 1 })
})
