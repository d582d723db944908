import t from 'tap'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { Connection } from '../../lib/connection.ts'
import { Sockets } from '../../lib/os/sockets.ts'
import { deferred, eventually } from '../helpers/app.ts'
import { answers, request } from '../helpers/raw-client.ts'
import { setUp } from '../helpers/unit-connection.ts'
import { never, plainEnv } from '../helpers/unit-env.ts'
import { native, overfill, skip } from '../helpers/unit-native.ts'

t.test('a connection goes from new through active and idle to lingering and closed', async t => {
  const open = deferred<ServerResponse>()
  const { client, connection, gone } = await setUp(t, (_request, answer) => open.resolve(answer))
  t.equal(connection.state, 'new')
  t.ok(connection.isQuiet)
  client.write(request('/a?b'))
  const answer = await open.promise
  t.equal(connection.state, 'active')
  t.notOk(connection.isQuiet)
  t.same(connection.currentRequest(), { method: 'GET', route: '/a' })
  answer.end('x')
  await eventually(() => connection.state === 'idle', 'the connection was idle')
  t.ok(connection.isQuiet)
  connection.leave(0)
  t.equal(connection.state, 'lingering')
  t.notOk(connection.isQuiet)
  await client.fin()
  client.halfClose()
  await gone
  t.equal(connection.state, 'closed')
  t.equal(connection.outcome, 'half-closed')
})

t.test('a connection whose TLS handshake is not over is new, and its input is left alone', async t => {
  const { socket, client, clock } = await setUp(t)
  const connection = new Connection(socket, 0, { ...plainEnv(clock), onTimedOut () {} }, { handshake: true })
  client.write('\r\n')
  await eventually(() => socket.bytesRead > 0, 'it was read')
  t.equal(connection.state, 'new')
  t.ok(connection.isHandshaking)
  const listeners = socket.listenerCount('end')
  connection.leave(0)
  t.ok(socket.listenerCount('end') >= listeners)
  await client.fin()
})

t.test('after the handshake a connection is new until it has received HTTP', async t => {
  const { socket, client, clock } = await setUp(t)
  const connection = new Connection(socket, 0, { ...plainEnv(clock), onTimedOut () {} }, { handshake: true })
  client.write('\r\n')
  await eventually(() => socket.bytesRead > 0, 'it was read')
  connection.secured(socket)
  t.notOk(connection.isHandshaking)
  t.equal(connection.state, 'new')
  client.write('G')
  await eventually(() => connection.state === 'active', 'the connection was active')
})

t.test('a handshake that ends when our FIN is out has come too late', async t => {
  const { socket, env } = await setUp(t)
  const connection = new Connection(socket, 0, env, { handshake: true })
  connection.leave(0)
  const secured = new Socket()
  connection.secured(secured)
  t.ok(secured.destroyed)
})

t.test('a connection that is cut is gone above and below TLS', async t => {
  const { socket, env } = await setUp(t)
  const connection = new Connection(socket, 0, env)
  const secured = new Socket()
  connection.secured(secured)
  connection.cut('destroy')
  t.same([secured.destroyed, socket.destroyed], [true, true])
})

for (const [what, end] of [['FIN', 'halfClose'], ['RST', 'reset']] as const) {
  t.test(`the peer's ${what} before ours means that the peer closed`, async t => {
    const { client, connection, gone, socket } = await setUp(t)
    socket.on('error', () => {})
    client.write(request('/'))
    await client.until(/hello/)
    client[end]()
    await gone
    t.equal(connection.outcome, 'peer-closed')
  })
}

t.test('an application that destroys the socket is told apart from the peer', async t => {
  const { socket, connection, gone } = await setUp(t)
  socket.destroy()
  await gone
  t.equal(connection.outcome, 'destroyed')
})

t.test('row 8: a peer that keeps no limit is announced while its socket can be asked, and timed out', async t => {
  const { client, connection, events, gone } = await setUp(t, undefined, { lingerTimeout: 50, lingerTime: 600_000 }, server => {
    // Otherwise Node would destroy the socket before.
    server.on('timeout', () => {})
  })
  connection.leave(0)
  await client.fin()
  await gone
  t.same(events, ['timed out, lingering'])
  t.equal(connection.outcome, 'timed-out')
})

t.test('leaving twice is leaving once', async t => {
  const { client, clock, connection } = await setUp(t)
  connection.leave(250)
  connection.leave(0)
  connection.leaveIfQuiet()
  t.equal(clock.waiting, 0)
  t.notOk(connection.socket.writableEnded)
  clock.advance(250)
  await client.fin()
})

t.test('retiring an idle connection does nothing', async t => {
  const { clock, connection, events, retirement } = await setUp(t)
  connection.retire(retirement)
  await clock.pass(10_000)
  t.equal(connection.state, 'new')
  t.same(events, [])
})

t.test('retiring a busy connection makes its answer the last one, and the peer may close first', async t => {
  const open = deferred<ServerResponse>()
  const { client, clock, connection, events, retirement, gone } = await setUp(t, (_request, answer) => open.resolve(answer))
  client.write(request('/'))
  const answer = await open.promise
  connection.retire(retirement)
  connection.retireWith(answer, retirement)
  connection.answered()
  t.equal(connection.state, 'active')
  answer.end('bye')
  await client.until(/bye/)
  t.equal(answers(client.received)[0]?.headers['connection'], 'close')
  t.same(events, ['served'])
  t.notOk(client.sawFin)
  t.notOk(connection.socket.writableEnded)
  clock.advance(250)
  await client.fin()
  client.halfClose()
  await gone
  t.equal(connection.outcome, 'half-closed')
})

t.test('row 3: a request that was answered before its body has come leaves its connection when that has ended', async t => {
  const { client, connection, events, retirement } = await setUp(t, (_request, answer) => { answer.end('early') })
  client.write(request('/', { method: 'POST', headers: { 'content-length': '4' } }) + 'ab')
  await client.until(/early/)
  connection.retire(retirement)
  t.same(events, [])
  t.notOk(connection.isQuiet)
  client.write('cd')
  await eventually(() => events.includes('idle'), 'the connection was idle')
  t.ok(connection.isQuiet)
})

t.test('row 3: so does one whose answer ends in the drain, and could not say close any more', async t => {
  const open = deferred<ServerResponse>()
  const { client, connection, events, retirement } = await setUp(t, (_request, answer) => open.resolve(answer))
  client.write(request('/', { method: 'POST', headers: { 'content-length': '3' } }))
  const answer = await open.promise
  answer.writeHead(200, { 'content-length': '5' })
  answer.flushHeaders()
  connection.retire(retirement)
  answer.end('hello')
  await eventually(() => events.length > 0, 'it was served')
  t.same(events, ['served'])
  t.equal(connection.state, 'active')
  client.write('all')
  await eventually(() => events.length > 1, 'the request has come')
  t.same(events, ['served', 'idle'])
})

t.test('an answer whose head was out leaves its connection open, and a body without a length is ended by FIN at once', async t => {
  const kept = deferred<ServerResponse>()
  const alive = await setUp(t, (_request, answer) => kept.resolve(answer))
  alive.client.write(request('/'))
  const answer = await kept.promise
  answer.write('x')
  alive.connection.retire(alive.retirement)
  answer.end('bye')
  await eventually(() => alive.events.length === 2, 'it was served')
  t.same(alive.events, ['served', 'idle'])
  t.ok(alive.connection.isQuiet, 'it does not leave')
  t.equal(alive.clock.timers, 0)

  const endless = deferred<ServerResponse>()
  const ended = await setUp(t, (_request, answer) => endless.resolve(answer))
  ended.client.write('GET / HTTP/1.0\r\n\r\n')
  const last = await endless.promise
  last.write('x')
  ended.connection.retire(ended.retirement)
  last.end('bye')
  await ended.client.fin()
  t.equal(ended.clock.now(), 0, 'nobody waits for the peer')
})

t.test('what comes on a connection that leaves starts no request', async t => {
  let requests = 0
  const { socket, client, connection } = await setUp(t, () => { requests++ })
  connection.leave(250)
  client.write(request('/'))
  await eventually(() => socket.bytesRead > 0, 'it was read')
  t.equal(requests, 0)
})

t.test('who the peer of a busy connection was is known when its RST has closed it', async t => {
  const { socket, client, connection, retirement, gone } = await setUp(t, () => {})
  socket.on('error', () => {})
  client.write(request('/'))
  await eventually(() => connection.state === 'active', 'it was active')
  connection.retire(retirement)
  client.reset()
  await gone
  t.equal(socket.remoteAddress, '127.0.0.1')
})

t.test('in steady state our FIN follows the last answer at once', async t => {
  const { socket, client, connection } = await setUp(t)
  socket.destroySoon = () => connection.answered()
  client.write(request('/', { headers: { connection: 'close' } }))
  await client.fin()
  t.equal(connection.state, 'lingering')
  client.write('x'.repeat(100_000))
  client.halfClose()
  t.equal(await client.closed(), null, 'no RST')
})

t.test('row 2: bytes that arrive in the turn before the close keep it from happening', async t => {
  const { socket, client, clock, connection } = await setUp(t)
  connection.leaveIfQuiet()
  client.write('\r\n')
  await eventually(() => socket.bytesRead === 2, 'it was read')
  clock.nextTurn()
  t.notOk(socket.writableEnded)
  connection.leaveIfQuiet()
  clock.nextTurn()
  await client.fin()
})

t.test('a busy connection does not leave', async t => {
  const { client, clock, connection } = await setUp(t, () => {})
  client.write(request('/'))
  await eventually(() => connection.state === 'active', 'the connection was active')
  connection.leaveIfQuiet()
  t.equal(clock.waiting, 0)
})

t.test('a timeout destroys a busy connection and closes an idle one politely, unless somebody else decides', async t => {
  const idle = await setUp(t)
  idle.connection.timedOut()
  idle.clock.nextTurn()
  t.equal(idle.connection.state, 'lingering')
  await idle.client.fin()

  const busy = await setUp(t, () => {})
  busy.client.write(request('/'))
  await eventually(() => busy.connection.state === 'active', 'the connection was active')
  busy.connection.timedOut()
  await busy.gone
  t.equal(busy.connection.outcome, 'destroyed')

  const decided = await setUp(t, (_request, answer) => { answer.on('timeout', () => {}) })
  decided.client.write(request('/'))
  await eventually(() => decided.connection.state === 'active', 'the connection was active')
  decided.connection.timedOut()
  t.notOk(decided.socket.destroyed)
})

t.test('whoever answers a broken request with destroy() gets a lingering close', async t => {
  const linger = deferred<Connection>()
  const { client, connection, gone } = await setUp(t, undefined, never, server => {
    server.on('clientError', async (_error, socket) => {
      (await linger.promise).lingerOnDestroy()
      socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
      socket.destroy()
    })
  })
  linger.resolve(connection)
  client.write('rubbish\r\n\r\n')
  await client.fin()
  t.match(client.received, '400')
  client.write('x'.repeat(100_000))
  client.halfClose()
  t.equal(await client.closed(), null, 'no RST')
  await gone
  t.equal(connection.outcome, 'half-closed')
})

t.test('only the next destroy() is a lingering close, and none where nothing can be written', async t => {
  const { socket, connection, gone } = await setUp(t)
  connection.lingerOnDestroy()
  socket.destroy()
  t.notOk(socket.destroyed)
  connection.lingerOnDestroy()
  socket.destroy()
  t.ok(socket.destroyed)
  await gone

  const ended = await setUp(t)
  ended.connection.lingerOnDestroy()
  ended.socket.end()
  ended.socket.destroy()
  t.ok(ended.socket.destroyed)
})

t.test('during the handshake, and when the connection leaves already, destroy() is what it always was', async t => {
  const { socket, env } = await setUp(t)
  new Connection(socket, 0, env, { handshake: true }).lingerOnDestroy()
  socket.destroy()
  t.ok(socket.destroyed)

  const leaving = await setUp(t)
  leaving.connection.leave(250)
  leaving.connection.lingerOnDestroy()
  leaving.socket.destroy()
  t.ok(leaving.socket.destroyed)
})

for (const [how, code] of [['destroy', null], ['reset', 'ECONNRESET']] as const) {
  t.test(`a connection that is cut by ${how} is gone at once`, async t => {
    const { socket, client, connection, gone } = await setUp(t)
    connection.lingerOnDestroy()
    connection.cut(how)
    t.ok(socket.destroyed)
    t.equal(connection.state, 'closed')
    await gone
    t.equal(connection.outcome, 'cut')
    if (code === null) await client.fin()
    else t.equal(await client.closed(), code)
    connection.leave(0)
    t.equal(connection.state, 'closed')
  })
}

const errorOf = (code: string): Error => Object.assign(new Error(code), { code })

for (const [code, outcome] of [
  ['ETIMEDOUT', 'peer-lost'],
  ['EHOSTUNREACH', 'peer-lost'],
  ['ENETUNREACH', 'peer-lost'],
  ['EHOSTDOWN', 'peer-lost'],
  ['ECONNRESET', 'peer-closed'],
  ['EPIPE', 'peer-closed'],
  ['ENOBUFS', 'destroyed']
] as const) {
  t.test(`a connection that ${code} ends is ${outcome}`, async t => {
    const { socket, connection, gone } = await setUp(t)
    t.equal(connection.error, null)
    socket.destroy(errorOf(code))
    await gone
    t.equal(connection.outcome, outcome)
    t.equal(connection.error, code)
  })
}

t.test('a peer that is lost while we linger is lost, and not half-closed', async t => {
  const { socket, client, connection, gone, events } = await setUp(t)
  connection.leave(0)
  await client.fin()
  socket.destroy(errorOf('ETIMEDOUT'))
  await gone
  t.equal(connection.outcome, 'peer-lost')
  t.equal(connection.lastState, 'lingering')
  t.equal(connection.transport.remoteAddress, '127.0.0.1', 'it can be named')
  t.same(events, [])
})

t.test('an error without a code has no name', async t => {
  const { socket, connection, gone } = await setUp(t)
  socket.destroy(new Error('kaboom'))
  await gone
  t.equal(connection.error, null)
  t.equal(connection.outcome, 'destroyed')
})

t.test('the error of what speaks HTTP counts, too: of a TLSSocket on its transport', async t => {
  const { socket, clock } = await setUp(t)
  const connection = new Connection(socket, 0, { ...plainEnv(clock), onTimedOut () {} })
  const secured = new Socket()
  connection.secured(secured)
  secured.on('error', () => {}).destroy(errorOf('EHOSTUNREACH'))
  socket.destroy()
  connection.closed()
  t.equal(connection.error, 'EHOSTUNREACH')
  t.equal(connection.outcome, 'peer-lost')
})

t.test('what the peer has not acknowledged is known, and the connection is kept until it has', { skip }, async t => {
  const { socket, client, clock, gone } = await setUp(t)
  const connection = new Connection(socket, 0, { ...plainEnv(clock, never, native), onTimedOut () {} })
  t.equal(connection.unacknowledged, 0)
  client.socket.pause()
  await overfill(socket, () => connection.unacknowledged)
  connection.leave(0)
  client.halfClose()
  await once(socket, 'end')
  // Node would close it now.
  for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
  clock.advance(1000)
  t.notOk(socket.destroyed)
  t.equal(connection.state, 'lingering')
  t.ok((connection.unacknowledged as number) > 0)

  client.socket.resume()
  await client.fin()
  await eventually(() => connection.unacknowledged === 0, 'everything was acknowledged')
  clock.advance(200)
  t.ok(socket.destroyed)
  await gone
  t.equal(await client.closed(), null, 'no RST')
})

t.test('without system calls nobody knows what is not acknowledged', async t => {
  const { connection } = await setUp(t)
  t.equal(connection.unacknowledged, null)
})

t.test('a connection that lingers is kept while something is in flight to its peer', async t => {
  class InFlight extends Sockets {
    override inFlight (): number { return 0 }
  }
  const { socket, client, clock, env } = await setUp(t, undefined, { lingerTimeout: 600_000, lingerTime: 100 })
  new Connection(socket, 0, { ...env, sockets: new InFlight(null) }).leave(0)
  await client.fin()
  clock.advance(250)
  t.notOk(socket.destroyed)
})
