import t, { type Test } from 'tap'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, testApp } from './helpers/app.ts'
import { outcomes } from './helpers/drain-slow.ts'
import { frame, http2Get } from './helpers/http2-bytes.ts'
import { startProcess } from './helpers/process.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { asHttp2, servers, type Client } from './helpers/servers.ts'

// The figures of docs/security.md are measured here, and said in comments.
const host = '127.0.0.1'
t.setTimeout(240_000)
const isLinux = process.platform === 'linux'
// A machine that has much else to do, in ms.
const late = 8000

/** A client that does not care what becomes of it. */
function rude (t: Test, port: number, options: object = {}): Socket {
  const socket = connect({ host, port, allowHalfOpen: true, ...options })
  socket.on('error', () => {})
  t.teardown(() => { socket.destroy() })
  return socket
}

/** Sends the next bytes every few ms, as long as there is a connection that takes them. */
function trickle (socket: Socket, next: () => string | Buffer, pause: number): void {
  const timer = setInterval(() => { if (socket.writable && socket.writableLength < 2 ** 20) socket.write(next()) }, pause)
  socket.once('close', () => clearInterval(timer))
}

/** Sends this again and again, as fast as it is taken. */
function flood (socket: Socket, part: string | Buffer): void {
  const send = (): void => { while (socket.writable && socket.write(part)); }
  socket.on('drain', send)
  send()
}

/** A field of /proc/<pid>/status, in MiB. */
function memory (pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const [, kib = ''] = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kib) / 1024
}

async function startService (t: Test, options: object) {
  const service = startProcess(t, new URL('./fixtures/security-app.ts', import.meta.url), {
    env: { OPTIONS: JSON.stringify(options), KUBERNETES_SERVICE_HOST: undefined }
  })
  const told = (type: string): Promise<any> => service.message(message => message.type === type)
  const { port } = await told('listening')
  return { service, told, port: port as number }
}

t.test('what a client sends while its connection lingers is read and not kept, and for lingerTime at most', { skip: !isLinux && 'memory is looked at in /proc' }, async t => {
  const lingerTime = 2000
  const { service, port } = await startService(t, { lingerTime, lingerTimeout: 500 })
  t.equal(await (await fetch(`http://${host}:${port}/`)).text(), 'hello')
  const before = memory(service.pid, 'VmRSS')
  const flooding = Array.from({ length: 20 }, () => new Promise<{ sent: number, took: number }>(resolve => {
    const socket = rude(t, port)
    let answered = 0
    socket.write(request('/early', { method: 'POST', headers: { 'content-length': String(2 ** 30), connection: 'close' } }))
    socket.once('data', () => { answered = performance.now() })
    socket.on('close', () => resolve({ sent: socket.bytesWritten, took: performance.now() - answered }))
    flood(socket, Buffer.alloc(2 ** 16, 'x'))
  }))
  const ended = await Promise.all(flooding)
  const sent = ended.reduce((sum, { sent }) => sum + sent, 0) / 2 ** 20
  const grown = memory(service.pid, 'VmHWM') - before
  t.ok(ended.every(({ took }) => took < lingerTime + late), 'each was closed in time')
  // Hundreds of them, unless the machine is busy.
  t.ok(sent > 50, `${Math.round(sent)} MiB were sent`)
  t.ok(grown < Math.max(150, sent / 4), `memory grew by ${Math.round(grown)} MiB`)
  t.comment(`20 connections that were answered early sent ${Math.round(sent)} MiB in ${lingerTime} ms; resident memory grew by at most ${Math.round(grown)} MiB`)
})

t.test('heads and bodies that come byte by byte, and answers that are read so or not at all, hold a drain until hardStopAfter, and keep nobody else waiting', { skip: !isLinux && 'memory is looked at in /proc' }, async t => {
  const hardStopAfter = 3000
  const shutdownDelay = 1000
  const { service, told, port } = await startService(t, { hardStopAfter, shutdownDelay, idleGrace: 100, lingerTime: 1000, lingerTimeout: 500 })
  const before = memory(service.pid, 'VmRSS')
  const each = 60
  for (let i = 0; i < each; i++) {
    const head = rude(t, port)
    head.write('GET / HTTP/1.1\r\nx: ')
    trickle(head, () => 'x', 100)
    const body = rude(t, port)
    body.write(request('/upload', { method: 'POST', headers: { 'content-length': '1000000', 'content-type': 'text/plain' } }))
    trickle(body, () => 'x', 100)
    const blind = rude(t, port)
    blind.write(request('/big'))
    blind.pause()
    const reader: Socket = rude(t, port, {
      onread: {
        buffer: Buffer.alloc(1),
        callback () {
          setTimeout(() => reader.resume(), 50)
          return false
        }
      }
    })
    reader.write(request('/big'))
  }

  const times: number[] = []
  const failed: string[] = []
  // Nobody listens after this process: whoever connects as its listener closes is refused, or reset by the kernel.
  let leaveAt = Infinity
  const polite = Array.from({ length: 20 }, async () => {
    while (performance.now() < leaveAt) {
      const began = performance.now()
      try {
        const text = await (await fetch(`http://${host}:${port}/`)).text()
        if (text !== 'hello') failed.push(text)
        times.push(performance.now() - began)
      } catch (error) {
        const { code } = (error as { cause: { code: string } }).cause
        failed.push(code)
        return
      }
      await sleep(20)
    }
  })
  await eventually(() => times.length > 40, 'polite clients are served')
  const began = performance.now()
  times.length = 0
  leaveAt = began + shutdownDelay - 300
  process.kill(service.pid, 'SIGTERM')
  await told('draining')
  const beforeDeadline = sleep(hardStopAfter - 500).then(() => memory(service.pid, 'VmHWM') - before)
  const { code, at } = await service.exited
  await Promise.all(polite)
  const [took, grown] = [Math.round(at - began), Math.round(await beforeDeadline)]
  t.equal(code, 1, 'something was cut')
  t.same(failed, [], 'no polite client lost an answer')
  t.ok(took >= hardStopAfter - 50 && took < hardStopAfter + late, `the process ended after ${took} ms`)
  t.ok(grown < 120, `memory grew by ${grown} MiB`)
  times.sort((a, b) => a - b)
  const [median = 0, slowest = 0] = [times[times.length >> 1], times.at(-1)].map(ms => Math.round(ms ?? 0))
  t.comment(`${4 * each} slow clients, hardStopAfter ${hardStopAfter} ms: the process ended after ${took} ms; ${times.length} polite requests meanwhile, median ${median} ms, slowest ${slowest} ms; resident memory grew by at most ${grown} MiB`)
})

t.test('a client that asks again at the end of each grace gets one more answer, which says close', async t => {
  const idleGrace = 400
  const { app, listen } = await testApp(t, { idleGrace, peerCloseTimeout: 50, lingerTimeout: 300, lingerTime: 600 })
  let served = 0
  app.get('/', async () => { served++; return 'hello' })
  const to = await listen()
  const clients = await Promise.all(Array.from({ length: 50 }, () => rawClient(t, to)))
  for (const client of clients) client.write(request('/'))
  await Promise.all(clients.map(client => client.until(/hello/)))
  served = 0
  const drained = app.drain.begin('test')
  await sleep(idleGrace - 150)
  // And again, and again, without ever closing.
  for (const { socket } of clients) {
    socket.write(request('/'))
    trickle(socket, () => request('/'), 100)
  }
  const { duration } = await drained
  t.equal(served, clients.length)
  t.ok(clients.every(({ received }) => received.match(/HTTP\/1\.1 200/g)?.length === 2 && /connection: close/i.test(received)))
  t.ok(duration < idleGrace + 600 + late)
  t.comment(`50 clients that never stop asking: ${served} more answers, drained after ${duration} ms (idleGrace ${idleGrace})`)
})

t.test('a client that pipelines for ever is answered no further than what had come with the answer that says close', async t => {
  const { app, listen } = await testApp(t, { idleGrace: 100, peerCloseTimeout: 50, lingerTimeout: 300, lingerTime: 600 })
  let served = 0
  app.get('/', async () => { served++; return 'hello' })
  const { port } = await listen()
  const batch = request('/').repeat(100)
  const sockets = Array.from({ length: 10 }, () => rude(t, port).resume())
  for (const socket of sockets) trickle(socket, () => batch, 10)
  await eventually(() => served > 1000, 'they are served')
  const before = served
  const { duration, connections } = await app.drain.begin('test')
  t.equal(connections.cut, 0)
  t.ok(duration < 600 + late)
  t.comment(`10 clients that pipeline without end: ${served - before} more answers, drained after ${duration} ms`)
})

t.test('a client that sends empty lines for ever asks for nothing, and holds a drain until hardStopAfter at most', async t => {
  const { app, listen } = await testApp(t, { hardStopAfter: 1500, idleGrace: 100 })
  const { port } = await listen()
  flood(rude(t, port), '\r\n'.repeat(1000))
  await eventually(() => app.drain.connections.idle + app.drain.connections.active + app.drain.connections.new === 1, 'it has come')
  const { duration } = await app.drain.begin('test')
  t.ok(duration < 1500 + late, `${duration} ms`)
})

const settings = frame(4, 0, 0)
const ping = frame(6, 0, 0, Buffer.alloc(8))
const reset = (stream: number): Buffer => frame(3, 0, stream, Buffer.from([0, 0, 0, 8]))

/** So many of them each time it is called, each on a stream of its own. */
function many (count: number, one: (stream: number) => Buffer): () => Buffer {
  let stream = -1
  return () => Buffer.concat(Array.from({ length: count }, () => one(stream += 2)))
}

/** What a client of HTTP/2 sends every 5 ms, whatever it is told. */
const floods: Record<string, () => () => Buffer | string> = {
  'opens streams for ever': () => many(5, stream => http2Get('/', stream)),
  'resets each stream at once': () => many(50, stream => Buffer.concat([http2Get('/', stream), reset(stream)])),
  'sends PING for ever': () => many(50, () => ping),
  'sends SETTINGS for ever': () => many(20, () => settings),
  'answers no PING, and never closes': () => () => ''
}

for (const name of ['h2c', 'h2'] as const) {
  t.test(`${name}: a session that opens streams for ever, resets them at once, floods PING or SETTINGS, or answers nothing, ends by hardStopAfter, and others are served`, async t => {
    const server = servers[name]
    const hardStopAfter = 4000
    const { app, to } = await server.start(t, { hardStopAfter, shutdownDelay: 300, lingerTimeout: 300, lingerTime: 600 })
    for (const begin of Object.values(floods)) {
      const { wire: { socket } } = await server.client(t, to, { ignoresPing: true })
      socket.on('error', () => {})
      trickle(socket, begin(), 5)
      t.teardown(() => { socket.destroy() })
    }
    const polite = await server.client(t, to)
    t.match(await polite.ask('/').answer(), { status: 200 })
    const drained = app.drain.begin('test')
    const [before, behind] = await Promise.all([served(polite), served(await server.client(t, to))])
    t.equal(before, 200, 'an old session')
    t.equal(behind, 200, 'one that comes in the lame duck')
    polite.wire.end()
    const report = await drained
    t.ok(report.duration < hardStopAfter + late, `${report.duration} ms`)
    t.equal(asHttp2(polite).goaways.at(-1)?.code, 0)
    t.comment(`${name}: ${Object.keys(floods).join('; ')}: drained after ${report.duration} ms (hardStopAfter ${hardStopAfter}), ${JSON.stringify(outcomes(report))}`)
  })
}

async function served (client: Client): Promise<number> {
  return (await client.ask('/').answer()).status
}

t.test('new connections that never end hold up neither the lame duck nor the close of the listener', async t => {
  const { service, told, port } = await startService(t, { hardStopAfter: 10_000, shutdownDelay: 500, idleGrace: 300, lingerTimeout: 500 })
  const flood = startProcess(t, new URL('./fixtures/security-flood.ts', import.meta.url), { env: { PORT: String(port), LIMIT: '15000' } })
  const refused = flood.message(({ type }) => type === 'refused')
  await flood.message(({ type }) => type === 'flooding')
  await sleep(200)
  const began = performance.now()
  process.kill(service.pid, 'SIGTERM')
  await told('draining')
  const { connected } = await refused
  const closed = performance.now() - began
  const { at, code } = await service.exited
  t.equal(code, 0, 'nothing was cut')
  t.ok(closed < 500 + late, `the listener was closed after ${Math.round(closed)} ms`)
  t.ok(at - began < 10_000 + late, `the process ended after ${Math.round(at - began)} ms`)
  t.comment(`${connected} connections came, as fast as one process can; listener closed ${Math.round(closed)} ms after SIGTERM (shutdownDelay 500), process ended after ${Math.round(at - began)} ms`)
})
