import t from 'tap'
import { randomBytes } from 'node:crypto'
import { eventually } from './helpers/app.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { webSocketApp } from './helpers/websocket-app.ts'
import { client, opcodes, rawWebSocket, servers } from './helpers/websocket.ts'

const goingAway = { code: 1001, reason: 'service restart' }

for (const { name, server, secure } of servers) {
  t.test(`row 15, ${name}: WebSockets, idle and busy, end with 1001 on both sides`, async t => {
    const { app, to, served } = await webSocketApp(t, { server })
    const [idle, busy] = await Promise.all([client(t, to, { secure }), client(t, to, { secure })])
    busy.socket.send('work')
    await Promise.all([idle.until('hello'), busy.until('got work')])
    t.match(app.drain.connections, { upgraded: 2, active: 0, idle: 0 })

    const report = await app.drain.begin('test')
    t.same(await Promise.all([idle.closed, busy.closed]), Array(2).fill({ ...goingAway, wasClean: true }))
    t.same(await Promise.all(served.map(({ closed }) => closed)), Array(2).fill(goingAway))
    t.match(report.connections, { total: 2, cut: 0, 'timed-out': 0, destroyed: 0, 'peer-lost': 0 })
    t.same(report.stragglers, [])
    t.ok(report.duration < 5000, `nothing is waited for, ${report.duration} ms`)
  })

  t.test(`row 15, ${name}: one close frame, the answer to it is awaited, then comes our FIN, and no RST`, async t => {
    const { app, to, served } = await webSocketApp(t, { server })
    const raw = await rawWebSocket(t, to, { secure, path: '/' })
    const draining = app.drain.begin('test')
    await raw.until(({ closes }) => closes.length > 0)
    t.same(raw.closes, [goingAway])
    // It may have sent this before it saw the close frame.
    raw.send(opcodes.text, 'crossing')
    await eventually(() => served[0]?.messages[0] === 'crossing', 'the message has reached the handler')
    t.notOk(raw.sawFin, 'no FIN before the answer')
    raw.close(1001)
    await raw.until(({ sawFin }) => sawFin)
    t.match(app.drain.connections, { upgraded: 0, lingering: 1 })
    // Behind our FIN everything is read, until the peer's.
    raw.write(randomBytes(50_000))
    raw.halfClose()
    t.equal(await raw.ended(), null, 'no RST')
    t.equal(raw.frames.filter(({ opcode }) => opcode === opcodes.close).length, 1, 'one close frame')
    t.match((await draining).connections, { total: 1, 'half-closed': 1, cut: 0, 'timed-out': 0 })
  })
}

t.test('what the client sent before it saw the close frame reaches the handler, whole and in order', async t => {
  const { app, to, served } = await webSocketApp(t)
  const raw = await rawWebSocket(t, to, { path: '/' })
  raw.send(opcodes.text, 'first ', { final: false })
  const draining = app.drain.begin('test')
  await raw.until(({ closes }) => closes.length > 0)
  raw.send(opcodes.continuation, 'in two parts')
  const large = 'x'.repeat(300_000)
  raw.send(opcodes.text, large)
  raw.close(1001)
  raw.halfClose()
  t.equal(await raw.ended(), null)
  t.same(served[0]?.messages, ['first in two parts', large])
  t.same(await served[0]?.closed, { code: 1001, reason: '' })
  await draining
})

for (const peerCloseTimeout of [8000, 1]) {
  t.test(`a large message that is still being compressed comes before the close frame, with a peerCloseTimeout of ${peerCloseTimeout} ms`, async t => {
    const { app, to, served } = await webSocketApp(t, { peerCloseTimeout, webSocket: { perMessageDeflate: true } })
    const { socket, messages, closed, until } = await client(t, to)
    await until('hello')
    t.match(socket.extensions, 'permessage-deflate')
    const large = randomBytes(500_000).toString('hex')
    for (const text of [large, 'last']) served[0]?.socket.send(text)
    const draining = app.drain.begin('test')
    t.match(await closed, goingAway)
    t.ok(messages[1] === large, 'unharmed')
    t.same(messages.slice(2), ['last'])
    t.match((await draining).connections, { total: 1, cut: 0, 'timed-out': 0 })
  })
}

t.test('who says goodbye when the drain begins is heard before the close frame', async t => {
  const { app, to, served } = await webSocketApp(t)
  app.drain.signal.addEventListener('abort', () => { for (const { socket } of served) socket.send('bye') })
  const { messages, closed, until } = await client(t, to)
  await until('hello')
  await app.drain.begin('test')
  t.same(await closed, { ...goingAway, wasClean: true })
  t.same(messages, ['hello', 'bye'])
})

t.test('a WebSocket that the app closes itself in the lame duck gets no second close frame', async t => {
  const { app, to, served } = await webSocketApp(t)
  app.drain.signal.addEventListener('abort', () => { served[0]?.socket.close(4001, 'mine') })
  const raw = await rawWebSocket(t, to, { path: '/' })
  const draining = app.drain.begin('test')
  await raw.until(({ closes }) => closes.length > 0)
  await eventually(() => app.drain.phase === 'draining', 'the phase draining')
  raw.close(4001)
  await raw.until(({ sawFin }) => sawFin)
  raw.halfClose()
  t.equal(await raw.ended(), null)
  t.same(raw.closes, [{ code: 4001, reason: 'mine' }])
  t.same(await served[0]?.closed, { code: 4001, reason: '' })
  t.match((await draining).connections, { total: 1, cut: 0, 'timed-out': 0 })
})

t.test('a message from a close event goes nowhere, and harms nothing', async t => {
  const { app, to, served } = await webSocketApp(t)
  const { until, closed } = await client(t, to)
  await until('hello')
  const failed = new Promise(resolve => {
    served[0]?.socket.on('close', () => { served[0]?.socket.send('too late', resolve) })
  })
  await app.drain.begin('test')
  t.match(await failed, { message: /not open/ })
  t.same(await closed, { ...goingAway, wasClean: true })
})

t.test('closeSpread spreads the close frames, and no idleGrace comes before', async t => {
  const { app, to } = await webSocketApp(t, { closeSpread: 900, idleGrace: 4000 })
  const count = 6
  const clients = await Promise.all(Array.from({ length: count }, () => client(t, to)))
  await Promise.all(clients.map(({ until }) => until('hello')))
  const began = performance.now()
  const draining = app.drain.begin('test')
  const at = (await Promise.all(clients.map(async ({ closed }) => {
    t.match(await closed, goingAway)
    return performance.now() - began
  }))).sort((a, b) => a - b)
  const { duration } = await draining
  // A timer can be late, and never early.
  at.forEach((ms, i) => t.ok(ms >= i * 900 / count - 2, `number ${i} after ${ms} ms`))
  t.ok(duration < 4000, `${duration} ms, less than idleGrace`)
})

t.test('a keep-alive connection beside WebSockets has its idleGrace as ever', async t => {
  const { app, to } = await webSocketApp(t, { idleGrace: 500, prepare: app => app.get('/plain', async () => 'plain') })
  const { closed, until } = await client(t, to)
  await until('hello')
  const plain = await rawClient(t, to)
  plain.write(request('/plain'))
  await plain.until(/plain$/)
  const draining = app.drain.begin('test')
  t.match(await closed, goingAway)
  plain.write(request('/plain'))
  await plain.until(/connection: close[^]*plain$/i)
  plain.halfClose()
  t.match(await draining, { connections: { total: 2, cut: 0 }, requests: { served: 1 } })
})

t.test('in normal operation a client that goes without a close frame leaves nothing behind', async t => {
  const { app, to, served } = await webSocketApp(t)
  const raw = await rawWebSocket(t, to, { path: '/' })
  raw.halfClose()
  t.equal(await raw.ended(), null)
  t.match(await served[0]?.closed, { code: 1006 })
  t.match(app.drain.connections, { upgraded: 0, lingering: 0 })
})
