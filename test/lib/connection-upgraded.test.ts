import t from 'tap'
import { eventually } from '../helpers/app.ts'
import { setUp } from '../helpers/unit-connection.ts'

/** A WebSocket on this socket, and what it was told. */
function webSocketOn (socket: object, { bufferedAmount = 0 } = {}): string[] {
  const told: string[] = []
  Object.assign(socket, {
    [Symbol('websocket')]: { bufferedAmount, close: (code: number) => { told.push(`close ${code}`) }, terminate () {}, ping () { told.push('ping') } }
  })
  return told
}

t.test('a WebSocket is told once, and has peerCloseTimeout to say goodbye', async t => {
  const { socket, client, clock, connection, halfClosed, gone } = await setUp(t)
  const told = webSocketOn(socket)
  connection.leaveUpgraded(250)
  connection.leaveUpgraded(250)
  t.same(told, ['close 1001'])
  t.notOk(connection.isQuiet)
  // Its owner does not read.
  socket.pause()
  clock.advance(249)
  t.notOk(socket.writableEnded)
  clock.advance(1)
  t.equal(connection.state, 'lingering')
  await client.fin()
  client.write('what its owner still reads')
  client.halfClose()
  await gone
  t.equal(connection.outcome, 'half-closed')
  t.same(halfClosed, [250], 'once')
  t.equal(clock.timers, 0)
})

t.test('a WebSocket whose peer is gone meanwhile leaves no timer behind, and its peer is known', async t => {
  const { socket, client, clock, connection, gone } = await setUp(t)
  socket.on('error', () => {})
  webSocketOn(socket)
  connection.leaveUpgraded(250)
  t.equal(clock.timers, 1)
  client.reset()
  await gone
  t.equal(clock.timers, 0)
  t.equal(socket.remoteAddress, '127.0.0.1')
})

t.test('a WebSocket whose handshake is not over is told when its owner begins to read', async t => {
  const { socket, clock, connection } = await setUp(t)
  socket.pause()
  connection.leaveUpgraded(250)
  t.notOk(connection.isQuiet)
  const told = webSocketOn(socket)
  clock.advance(1000)
  t.same(told, [])
  socket.resume()
  await eventually(() => told.length > 0, 'it was told')
  t.same(told, ['close 1001'])
  clock.advance(250)
  t.equal(connection.state, 'lingering')
})

t.test('an upgraded socket with a closer of its own is left to it, and one that has gone, or leaves already, to nobody', async t => {
  const { socket, clock, env, connection } = await setUp(t)
  const called: string[] = []
  env.closers.add(socket, () => { called.push('closer') })
  const told = webSocketOn(socket)
  connection.leaveUpgraded(250)
  t.same([called, told], [['closer'], []])
  t.ok(connection.isQuiet)
  t.equal(clock.timers, 0)

  for (const end of ['destroy', 'leave'] as const) {
    const ended = await setUp(t)
    ended.env.closers.add(ended.socket, () => { called.push(end) })
    if (end === 'destroy') ended.socket.destroy()
    else ended.connection.leave(250)
    ended.connection.leaveUpgraded(250)
  }
  t.same(called, ['closer'])
})

t.test('row 15: http: a WebSocket whose socket ends or breaks before it has the close frame leaves no timer behind', async t => {
  for (const ending of ['end', 'break'] as const) {
    const { client, clock, connection, gone } = await setUp(t)
    webSocketOn(connection.socket, { bufferedAmount: 1 })
    connection.leaveUpgraded(250)
    t.equal(clock.timers, 0)
    if (ending === 'end') {
      connection.socket.end()
      await client.fin()
      t.equal(connection.state, 'lingering')
      client.halfClose()
    } else {
      client.reset()
    }
    await gone
    t.equal(clock.timers, 0)
  }
})
