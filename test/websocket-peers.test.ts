import t from 'tap'
import { randomBytes } from 'node:crypto'
import { eventually } from './helpers/app.ts'
import { webSocketApp } from './helpers/websocket-app.ts'
import { client, opcodes, rawWebSocket } from './helpers/websocket.ts'

const goingAway = { code: 1001, reason: 'service restart' }
const short = { peerCloseTimeout: 50, lingerTimeout: 150, lingerTime: 400 }

t.test('a client that never answers the close frame is closed when the linger times are over', async t => {
  const { app, to, served } = await webSocketApp(t, short)
  const raw = await rawWebSocket(t, to, { path: '/' })
  const report = await app.drain.begin('test')
  t.match(report.connections, { total: 1, 'timed-out': 1, cut: 0 })
  t.match(report.stragglers, [{ method: 'GET', route: '/', state: 'lingering', outcome: 'timed-out' }])
  t.ok(report.duration >= 199, `not before peerCloseTimeout and lingerTimeout are over, ${report.duration} ms`)
  t.match(await served[0]?.closed, { code: 1006 })
  await raw.until(({ sawFin }) => sawFin)
  t.same(raw.closes, [goingAway])
})

t.test('a client that answers, and never closes its side, is closed too', async t => {
  const { app, to, served } = await webSocketApp(t, { ...short, peerCloseTimeout: 8000 })
  const raw = await rawWebSocket(t, to, { path: '/' })
  const draining = app.drain.begin('test')
  await raw.until(({ closes }) => closes.length > 0)
  raw.close(1001)
  const report = await draining
  t.match(report.connections, { total: 1, 'timed-out': 1, cut: 0 })
  t.ok(report.duration < 6000, `lingerTimeout counts from our FIN, ${report.duration} ms`)
  t.match(await served[0]?.closed, { code: 1001 })
})

t.test('row 9: http: a client that sends for ever after the close frame is closed at lingerTime', async t => {
  const { app, to, served } = await webSocketApp(t, { ...short, lingerTimeout: 8000 })
  const raw = await rawWebSocket(t, to, { path: '/' })
  let sent = 0
  const sending = setInterval(() => { raw.send(opcodes.text, `number ${sent++}`) }, 20)
  t.teardown(() => clearInterval(sending))
  const report = await app.drain.begin('test')
  const reached = served[0]?.messages.length ?? 0
  t.match(report.connections, { total: 1, 'timed-out': 1, cut: 0 })
  t.ok(report.duration >= 449, `not before lingerTime is over, ${report.duration} ms`)
  t.ok(reached > 0, `${reached} of ${sent} messages reached the handler`)
})

t.test('two close frames that cross end the connection, each side with the code of the other', async t => {
  const { app, to, served } = await webSocketApp(t)
  const raw = await rawWebSocket(t, to, { path: '/' })
  raw.pause()
  const draining = app.drain.begin('test')
  await eventually(() => served[0]?.socket.readyState === 2, 'the close frame is on its way')
  raw.close(4000)
  raw.resume()
  await raw.until(({ sawFin }) => sawFin)
  raw.halfClose()
  t.equal(await raw.ended(), null)
  t.same(raw.closes, [goingAway])
  t.match(await served[0]?.closed, { code: 4000 })
  t.match((await draining).connections, { total: 1, cut: 0, 'timed-out': 0 })
})

t.test('a client that closes in the same moment ends in peace', async t => {
  const { app, to, served } = await webSocketApp(t)
  const first = await client(t, to)
  const second = await client(t, to)
  await Promise.all([first.until('hello'), second.until('hello')])
  first.socket.close(4000)
  const draining = app.drain.begin('test')
  second.socket.close(4000)
  t.match(await first.closed, { wasClean: true })
  t.match(await second.closed, { wasClean: true })
  for (const { closed } of served) t.not((await closed).code, 1006)
  t.match((await draining).connections, { cut: 0, 'timed-out': 0, destroyed: 0 })
})

t.test('a client that resets the connection ends nothing but that', async t => {
  const { app, to, served } = await webSocketApp(t)
  const [before, after, polite] = await Promise.all([rawWebSocket(t, to, { path: '/' }), rawWebSocket(t, to, { path: '/' }), client(t, to)])
  await polite.until('hello')
  const draining = app.drain.begin('test')
  before.reset()
  await after.until(({ closes }) => closes.length > 0)
  after.reset()
  t.same(await polite.closed, { ...goingAway, wasClean: true })
  const codes = (await Promise.all(served.map(({ closed }) => closed))).map(({ code }) => code)
  t.same(codes.sort(), [1001, 1006, 1006])
  t.match((await draining).connections, { cut: 0, 'timed-out': 0, destroyed: 0 })
})

t.test('garbage after the close frame is answered by no second close frame, and ends the connection', async t => {
  const { app, to } = await webSocketApp(t)
  const raw = await rawWebSocket(t, to, { path: '/' })
  const draining = app.drain.begin('test')
  await raw.until(({ closes }) => closes.length > 0)
  // Reserved bits, and an opcode that does not exist.
  raw.write(Buffer.concat([Buffer.from([0x7f, 0xff]), randomBytes(200)]))
  await raw.until(({ sawFin }) => sawFin)
  raw.write(randomBytes(100_000))
  raw.halfClose()
  t.equal(await raw.ended(), null)
  t.equal(raw.closes.length, 1)
  t.match((await draining).connections, { total: 1, cut: 0, 'timed-out': 0 })
})

t.test('row 21: http: a WebSocket that its handler has paused is told, and its socket is read on', async t => {
  const { app, to, served } = await webSocketApp(t, { peerCloseTimeout: 50 })
  const { socket, until, closed } = await client(t, to)
  await until('hello')
  served[0]?.socket.pause()
  socket.send('while it was paused')
  const report = await app.drain.begin('test')
  t.same(await closed, { ...goingAway, wasClean: true })
  t.same(served[0]?.messages, ['while it was paused'])
  t.same(await served[0]?.closed, goingAway)
  t.match(report.connections, { total: 1, cut: 0, 'timed-out': 0 })
})

t.test('row 6: http: a slow reader gets everything before the close frame, however short the times are', async t => {
  const { app, to, served } = await webSocketApp(t, short)
  const { socket, messages, until, closed } = await client(t, to, { perMessageDeflate: false })
  await until('hello')
  socket.pause()
  const large = 'x'.repeat(10_000_000)
  served[0]?.socket.send(large)
  served[0]?.socket.send('last')
  const draining = app.drain.begin('test')
  await eventually(() => served[0]?.socket.readyState === 2, 'the close frame is behind them')
  // Longer than all the times together.
  const waited = Promise.race([draining.then(() => 'ended'), new Promise(resolve => setTimeout(resolve, 800, 'waits'))])
  t.equal(await waited, 'waits')
  socket.resume()
  t.same(await closed, { ...goingAway, wasClean: true })
  t.ok(messages[1] === large)
  t.equal(messages[2], 'last')
  t.match((await draining).connections, { total: 1, cut: 0 })
})

t.test('row 6: http: a client that reads nothing is cut at the deadline', async t => {
  const { app, to, served } = await webSocketApp(t, { ...short, hardStopAfter: 1000 })
  const { socket, until } = await client(t, to)
  await until('hello')
  socket.pause()
  served[0]?.socket.send(Buffer.alloc(30_000_000))
  const report = await app.drain.begin('test')
  t.match(report.connections, { total: 1, cut: 1 })
  t.match(report.stragglers, [{ method: 'GET', route: '/', outcome: 'cut' }])
  t.match(await served[0]?.closed, { code: 1006 })
})
