import type { FastifyInstance } from 'fastify'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../helpers/app.ts'
import type { Row, Tests } from '../helpers/rows.ts'
import { asHttp2 } from '../helpers/servers.ts'
import { leave } from '../helpers/wire.ts'

// More than the kernel takes on loopback.
const mebibyte = 1024 * 1024
const size = 10 * mebibyte

// Shorter than what reading takes.
const short = { idleGrace: 0, peerCloseTimeout: 10, lingerTimeout: 150, lingerTime: 150 }

function large (app: FastifyInstance): void {
  app.get('/streamed', (_request, reply) => {
    reply.header('content-length', size)
    return reply.send(Readable.from(Array.from({ length: 10 }, () => Buffer.alloc(mebibyte, 'x'))))
  })
  app.get('/at-once', async (_request, reply) => {
    // Where only Node counts how much is left, a slow reader looks like a silent one.
    reply.header('content-type', 'text/plain')
    return Buffer.alloc(size, 'x')
  })
}

const tests: Tests = {
  'a reader that stops is cut at the deadline, and not before': async (t, server) => {
    const { app, to } = await server.start(t, { ...short, hardStopAfter: 700 }, large)
    const client = await server.client(t, to)
    const answer = client.ask('/at-once')
    await answer.headed()
    client.wire.raw.socket.pause()
    const report = await app.drain.begin('test')
    t.match(report.connections, { total: 1, cut: 1 })
    t.ok(report.phases.find(({ phase }) => phase === 'aborting')!.at >= 690, 'at the deadline')
    t.match(report.stragglers, [{ state: 'active', outcome: 'cut' }])
    t.equal(answer.end, 'open')
  }
}

for (const path of ['/streamed', '/at-once']) {
  tests[`a slow reader gets the whole answer, for as long as it reads: ${path.slice(1)}`] = async (t, server) => {
    const { app, to } = await server.start(t, short, large)
    const client = await server.client(t, to)
    const answer = client.ask(path)
    await answer.headed()
    const { socket } = client.wire.raw
    socket.pause()
    const closing = app.drain.begin('test')
    // Nothing is read for longer than a lingering close may take: every buffer is full.
    await sleep(250)
    t.equal(app.drain.connections.active, 1)
    const whole = answer.answer()
    while (answer.end !== 'served') {
      const enough = client.wire.raw.received.length + 2 * mebibyte
      socket.resume()
      await Promise.race([whole, client.wire.raw.until(text => text.length >= enough).catch(() => {})])
      socket.pause()
      await sleep(25)
    }
    socket.resume()
    const { status, body } = await whole
    t.equal(status, 200)
    t.equal(body.length, size)
    t.equal(await leave(client.wire), null, 'no RST')
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
  }
}

// What the reader does not grant waits in Node, and the kernel has nothing to tell of.
const windows: Tests = {
  'a reader that grants its window little by little gets the whole answer': async (t, server) => {
    const { app, to } = await server.start(t, short, app => app.get('/', async () => 'x'.repeat(50_000)))
    const client = asHttp2(await server.client(t, to, { window: 5000 }))
    const answer = client.ask('/')
    await answer.headed()
    const closing = app.drain.begin('test')
    for (let granted = 5000; granted <= 50_000; granted += 5000) {
      await client.wire.until(() => answer.body.length === granted, 'all that was granted')
      // Once for longer than a lingering close may take.
      await sleep(granted === 5000 ? 400 : 10)
      client.grant(answer, 5000)
    }
    t.equal((await answer.answer()).body.length, 50_000)
    t.equal(await leave(client.wire), null, 'no RST')
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
  },

  'a reader that never grants any window is cut at the deadline, and not before': async (t, server) => {
    const { app, to } = await server.start(t, { ...short, hardStopAfter: 700 })
    const client = await server.client(t, to, { window: 0 })
    const answer = client.ask('/')
    await answer.headed()
    await eventually(() => app.drain.connections.active === 1, 'it waits')
    const report = await app.drain.begin('test')
    t.match(report.connections, { total: 1, cut: 1 })
    t.ok(report.phases.find(({ phase }) => phase === 'aborting')!.at >= 690, 'at the deadline')
    t.equal(answer.body, '')
  }
}

export default {
  number: 6,
  situation: 'slow reader, full send buffer',
  expected: 'drains while it progresses; cut only at the deadline',
  tests,
  only: { h2c: windows, h2: windows }
} satisfies Row
