import t, { type Test } from 'tap'
import { once } from 'node:events'
import http, { type ServerResponse } from 'node:http'
import { Socket, type Server } from 'node:net'
import { deferred, eventually } from '../helpers/app.ts'
import { answers, request, type RawClient } from '../helpers/raw-client.ts'
import { hello, none, setUp } from '../helpers/unit-connections.ts'

t.test('connections are counted by state, and not any more when they are closed', async t => {
  const open = deferred<ServerResponse>()
  const { connections, connect } = await setUp(t, (request, answer) => {
    if (request.url === '/open') open.resolve(answer)
    else answer.end('hello')
  })
  t.strictSame(connections.counts(), none)
  await connect()
  const [idle, active] = [await connect(), await connect()]
  idle.write(request('/'))
  await idle.until(/hello/)
  active.write(request('/open'))
  await open.promise
  t.strictSame(connections.counts(), { ...none, new: 1, idle: 1, active: 1 })
  t.equal(connections.size, 3)

  idle.halfClose()
  active.reset()
  await eventually(() => connections.size === 1, 'two were closed')
  t.strictSame(connections.counts(), { ...none, new: 1 })
})

t.test('a server that is adopted twice is adopted once', async t => {
  const { connections, server, connectIdle, retire, events } = await setUp(t)
  const listeners = server.listenerCount('connection')
  connections.adopt(server)
  t.equal(server.listenerCount('connection'), listeners)
  t.same([...connections.servers], [server])
  retire()
  const client = await connectIdle()
  t.match(client.received, /connection: close/i)
  t.same(events.filter(event => event === 'served'), ['served'])
})

t.test('row 33: connections of every server are counted and closed', async t => {
  const { clock, connections, listen, connect, retire, close } = await setUp(t)
  const second = await listen()
  const clients = [await connect(), await connect(second)]
  t.equal(connections.size, 2)
  t.ok(connections.listening)
  retire()
  await close()
  t.notOk(connections.listening)
  await clock.pass(1000)
  for (const client of clients) await client.fin()
})

t.test('after retire() every answer says close, also on a server that comes later', async t => {
  const { connections, listen, connect, retire, clock } = await setUp(t)
  const early = await connect()
  retire()
  const late = await connect(await listen())
  for (const client of [early, late]) {
    client.write(request('/'))
    await client.until(/hello/)
    t.equal(answers(client.received)[0]?.headers['connection'], 'close')
  }
  await clock.pass(250)
  for (const client of [early, late]) await client.fin()
  t.equal(connections.counts().lingering, 2)
})

t.test('before retire() nothing is reported, afterwards everything', async t => {
  const { connections, connectIdle, events, retire } = await setUp(t)
  const early = await connectIdle()
  early.halfClose()
  await early.closed()
  await eventually(() => connections.size === 0, 'it was closed')
  const known = await connectIdle()
  t.equal(connections.all().length, 1)
  known.halfClose()
  await known.closed()
  await eventually(() => connections.size === 0, 'it was closed')
  t.same(events, [])
  retire()
  const late = await connectIdle()
  late.halfClose()
  await late.closed()
  await eventually(() => events.length === 3, 'it was closed')
  t.same(events, ['late', 'served', 'peer-closed'])
})

t.test('idle connections are closed when their grace is over, which counts from retire()', async t => {
  const { clock, connections, connectIdle, retire, close } = await setUp(t)
  const client = await connectIdle()
  clock.advance(60_000)
  retire()
  await clock.pass(400)
  await close()
  await clock.pass(599)
  t.equal(connections.counts().idle, 1)
  await clock.pass(1)
  await client.fin()
  t.equal(connections.counts().lingering, 1)
})

t.test('a connection that comes late has a grace of its own', async t => {
  const { clock, connections, connect, retire, close, events, server } = await setUp(t)
  retire()
  await clock.pass(700)
  const client = await connect(server)
  t.same(events, ['late'])
  await close()
  await clock.pass(999)
  t.equal(connections.counts().new, 1)
  await clock.pass(1)
  await client.fin()
})

t.test('row 19: a connection that is accepted after close() is closed when its grace is over, too', async t => {
  const { clock, connections, server, retire, close } = await setUp(t)
  retire()
  await close()
  const socket = new Socket()
  server.emit('connection', socket)
  await clock.pass(1000)
  t.equal(connections.size, 1)
  t.ok(socket.writableEnded)
})

t.test('closeSpread spreads the closes of idle connections', async t => {
  const { clock, connectIdle, connections, retire, close } = await setUp(t, hello, { closeSpread: 1000 })
  for (let i = 0; i < 4; i++) await connectIdle()
  retire()
  await close()
  for (const [ms, lingering] of [[999, 0], [1, 1], [249, 1], [1, 2], [249, 2], [1, 3], [250, 4]] as const) {
    await clock.pass(ms)
    t.equal(connections.counts().lingering, lingering, `at ${clock.now()} ms`)
  }
})

/** A connection whose answer cannot say close any more when the drain begins. */
async function retireBehindHead (t: Test) {
  const open = deferred<ServerResponse>()
  const all = await setUp(t, (_request, answer) => {
    answer.writeHead(200, { 'content-length': '1' })
    answer.flushHeaders()
    open.resolve(answer)
  })
  const client = await all.connect()
  client.write(request('/'))
  const answer = await open.promise
  all.retire()
  return { ...all, client, answer }
}

t.test('an answer that could not say close any more leaves its connection peerCloseTimeout to ask again', async t => {
  const { clock, connections, close, events, client, answer } = await retireBehindHead(t)
  await close()
  await clock.pass(5000)
  answer.end('x')
  await client.until(/x$/)
  t.same(events, ['served'])
  await clock.pass(249)
  t.equal(connections.counts().idle, 1)
  await clock.pass(1)
  await client.fin()
})

t.test('in the lame duck such an answer ends nothing', async t => {
  const { clock, connections, events, answer } = await retireBehindHead(t)
  answer.end('x')
  await eventually(() => events.length === 1, 'it was served')
  await clock.pass(10_000)
  t.strictSame(connections.counts(), { ...none, idle: 1 })
})

t.test('row 24: our FIN follows at once where only it tells that an answer is complete', async t => {
  const open = deferred<ServerResponse>()
  const { connect, retire, connections } = await setUp(t, (_request, answer) => { open.resolve(answer) })
  const client = await connect()
  client.write('GET / HTTP/1.0\r\n\r\n')
  const answer = await open.promise
  answer.write('x')
  retire()
  answer.end('y')
  await client.fin()
  t.equal(connections.counts().lingering, 1)
})

t.test('a connection that is gone, and whose end is still to be told, is not counted', async t => {
  const { connections, connectIdle } = await setUp(t)
  await connectIdle()
  connections.all()[0]?.socket.destroy()
  t.strictSame(connections.counts(), none)
  t.equal(connections.size, 1)
})

t.test('a close behind an answer is a lingering one, before any drain as well', async t => {
  const { connections, connect } = await setUp(t)
  const client = await connect()
  client.write(request('/', { headers: { connection: 'close' } }))
  await client.fin()
  t.strictSame(connections.counts(), { ...none, lingering: 1 })
})

t.test('a client that half-closes behind its request gets the whole answer', async t => {
  const open = deferred<ServerResponse>()
  const { connect } = await setUp(t, (_request, answer) => { open.resolve(answer) })
  const client = await connect()
  client.write(request('/'))
  const answer = await open.promise
  client.halfClose()
  await eventually(() => answer.socket?.readableEnded === true, 'its FIN was read')
  answer.write('a')
  await client.until(/a\r\n$/)
  answer.end('b')
  await client.fin()
  t.match(answers(client.received), [{ status: 200, body: 'ab' }])
})

t.test('a timeout of the server closes an idle connection politely', async t => {
  const { clock, connections, connectIdle, server } = await setUp(t)
  const client = await connectIdle()
  const socket = connections.all()[0]?.socket as Socket
  server.emit('timeout', new Socket())
  server.emit('timeout', socket)
  await clock.pass(0)
  await client.fin()
  t.strictSame(connections.counts(), { ...none, lingering: 1 })
})

t.test('whoever answers a broken request with destroy() closes its connection politely, and only that of a client', async t => {
  const broken = http.createServer(hello).on('clientError', (_error, socket) => {
    socket.write('what?')
    socket.destroy()
  })
  const { connections, listen, connect } = await setUp(t)
  await listen(broken)
  broken.emit('clientError', new Error('broken'), new Socket())
  const client = await connect(broken)
  client.write('rubbish\r\n\r\n')
  await client.until(/what/)
  await client.fin()
  t.strictSame(connections.counts(), { ...none, lingering: 1 })
})

t.test('who has closed already is not closed again', async t => {
  const { connections, connectIdle } = await setUp(t)
  const client = await connectIdle()
  const socket = connections.all()[0]?.socket as Socket
  client.halfClose()
  await connections.empty()
  await eventually(() => socket.closed, 'it has closed')
  socket.destroySoon()
  t.ok(socket.closed)
})

t.test('empty() resolves at once where there is no connection, and else with the last one, for everybody who waits', async t => {
  const { connections, connect } = await setUp(t)
  await connections.empty()
  const clients = [await connect(), await connect()]
  let empty = false
  const emptied = connections.empty().then(() => { empty = true })
  clients[0]?.halfClose()
  await eventually(() => connections.size === 1, 'one was closed')
  t.notOk(empty)
  const asked = connections.empty()
  clients[1]?.halfClose()
  await Promise.all([emptied, asked])
})

t.test('cut() shows each connection as it was, stops listening, and leaves nothing', async t => {
  const { clock, connections, connectIdle, connect, retire, close, events } = await setUp(t, (request, answer) => {
    if (request.url !== '/open') answer.end('hello')
  })
  await connectIdle()
  const active = await connect()
  active.write(request('/open'))
  await eventually(() => connections.counts().active === 1, 'one was active')
  retire()
  const closing = close()
  const seen: string[] = []
  connections.cut('reset', ({ state }) => { seen.push(state) })
  t.same(seen.sort(), ['active', 'idle'])
  t.notOk(connections.listening)
  t.equal(await active.closed(), 'ECONNRESET')
  await connections.empty()
  await closing
  t.same(events, ['cut', 'cut'])
  await clock.pass(10_000)
  t.equal(clock.timers, 0)
})

const errorOf = (code: string): Error => Object.assign(new Error(code), { code })

/** The server's end of a new connection. */
async function acceptedBy (server: Server, connect: (to: Server) => Promise<RawClient>): Promise<Socket> {
  const [[socket]] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, connect(server)])
  return socket
}

t.test('a peer that vanishes before a drain is told of, other ends are not', async t => {
  const { server: first, connections, connect, events } = await setUp(t)
  for (const code of ['ETIMEDOUT', 'EHOSTUNREACH']) (await acceptedBy(first, connect)).destroy(errorOf(code))
  const ended = await acceptedBy(first, connect)
  ended.destroy()
  await eventually(() => connections.size === 0, 'all were closed')
  t.same(events.filter(event => event !== 'destroyed'), ['peer-lost', 'peer-lost'])
})

t.test('a peer that vanishes during a drain is told of', async t => {
  const { server: first, connections, connect, retire, events } = await setUp(t)
  const socket = await acceptedBy(first, connect)
  retire()
  socket.destroy(errorOf('ETIMEDOUT'))
  await eventually(() => connections.size === 0, 'it was closed')
  t.same(events, ['peer-lost'])
})
