import t from 'tap'
import type { FastifyReply } from 'fastify'
import type { ServerHttp2Stream } from 'node:http2'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliDecompressSync, createBrotliCompress } from 'node:zlib'
import { deferred } from './helpers/app.ts'
import { answers, rawClient } from './helpers/raw-client.ts'
import { endlessEvents, servers, streamApp, type ServerName } from './helpers/streams.ts'

const names = Object.keys(servers) as ServerName[]
const config = { drain: { endStreams: 'begin', retry: 100 } } as const

/** Hijacked, with this head, and these writes. */
function hijack (reply: FastifyReply, headers: Record<string, string>, ...chunks: Array<string | Buffer>): FastifyReply['raw'] {
  const { raw } = reply.hijack()
  raw.writeHead(200, headers)
  for (const chunk of chunks) raw.write(chunk)
  return raw
}

const events = { 'content-type': 'text/event-stream' }

for (const name of names) {
  t.test(`${name}: a handler that goes on to write and to end hears why, and nothing is thrown`, async t => {
    const results: unknown[] = []
    let sent = false
    const done = deferred()
    const { app, open } = await streamApp(t, name, {}, app => {
      app.get('/events', { config }, async (_request, reply) => {
        const raw = hijack(reply, events, 'data: 1\n\n') as Writable
        const write = (): Promise<unknown> => new Promise(resolve => { raw.write('data: more\n\n', 'utf8', resolve) })
        while ((results[0] = await write()) == null) await sleep(1)
        sent = reply.sent && raw.writableEnded
        raw.write('data: no callback\n\n')
        await new Promise<void>(resolve => { raw.end('data: last\n\n', resolve) })
        // Now it is closed.
        await sleep(20)
        results.push(await write())
        raw.write('data: no callback\n\n')
        raw.end()
        done.resolve()
      })
    })
    const stream = await open('/events')
    await stream.until(/more/)
    const report = await app.drain.begin('test')
    t.equal(await stream.ended, 'complete')
    t.match(stream.text, /^data: 1\n\n(data: more\n\n)+retry: 100\n\n$/)
    await done.promise
    t.ok(sent, 'the answer says that it has ended')
    t.match(results, [{ code: /^(FST_DRAIN_DRAINING|ERR_STREAM_)/ }, { code: /^ERR_STREAM_/ }])
    t.equal(report.connections.cut, 0)
  })

  t.test(`${name}: HEAD on an event stream that never ends is ended`, async t => {
    const asked = deferred()
    const { app, open } = await streamApp(t, name, {}, app => {
      app.get('/events', { config }, (_request, reply) => {
        endlessEvents(reply)
        asked.resolve()
      })
    })
    // Over HTTP/1.1 Node sends its head with its end.
    const opened = open('/events', { method: 'HEAD' })
    await asked.promise
    const report = await app.drain.begin('test')
    const stream = await opened
    t.equal(await stream.ended, 'complete')
    t.equal(stream.text, '')
    t.equal(report.connections.cut, 0)
  })
}

for (const name of ['h2c', 'secure h2'] as const) {
  t.test(`${name}: an answer on the stream itself is ended, and later writes do no harm`, async t => {
    const { app, open } = await streamApp(t, name, {}, app => {
      app.get('/events', { config }, (_request, reply) => {
        const { stream } = reply.hijack().raw as unknown as { stream: ServerHttp2Stream }
        stream.respond({ ':status': 200, 'Content-Type': 'text/event-stream' })
        const timer = setInterval(() => stream.write('data: more\n\n'), 1)
        stream.once('close', () => setTimeout(() => { stream.end('data: last\n\n'); clearInterval(timer) }, 20))
      })
    })
    const stream = await open('/events')
    await stream.until(/more/)
    const report = await app.drain.begin('test')
    t.equal(await stream.ended, 'complete')
    t.match(stream.text, /^(data: more\n\n)+retry: 100\n\n$/)
    t.equal(report.connections.cut, 0)
  })
}

t.test('an event that is half written is waited for', async t => {
  const { app, open } = await streamApp(t, 'http', {}, app => {
    app.get('/events', { config }, (request, reply) => {
      const raw = hijack(reply, events, 'data: 1\n\ndata: hal')
      request.drainSignal.addEventListener('abort', () => {
        setTimeout(() => raw.write('f an event\r\nid: 2\r'), 50)
        setTimeout(() => raw.write('\n\r\ndata: another one\n\n'), 100)
      })
    })
  })
  const stream = await open('/events')
  await stream.until(/hal$/)
  await app.drain.begin('test')
  t.equal(await stream.ended, 'complete')
  t.equal(stream.text, 'data: 1\n\ndata: half an event\r\nid: 2\r\n\r\nretry: 100\n\n')
})

t.test('an event that stays half written is left out by the client: no blank line follows it', async t => {
  const { app, open } = await streamApp(t, 'http', {}, app => {
    app.get('/events', { config }, (_request, reply) => { hijack(reply, events, 'data: 1\n\nda', 'ta: hal') })
  })
  const stream = await open('/events')
  await stream.until(/hal$/)
  t.equal((await app.drain.begin('test')).connections.cut, 0)
  t.equal(await stream.ended, 'complete')
  t.equal(stream.text, 'data: 1\n\ndata: hal\nretry: 100\n')
})

t.test('a handler that ends its half written event by itself has the last word', async t => {
  const { app, open } = await streamApp(t, 'http', {}, app => {
    app.get('/events', { config }, (request, reply) => {
      const raw = hijack(reply, events, 'data: hal')
      request.drainSignal.addEventListener('abort', () => setTimeout(() => raw.end('f\n\n'), 50))
    })
  })
  const stream = await open('/events')
  await stream.until(/hal$/)
  await app.drain.begin('test')
  t.equal(stream.text, 'data: half\n\n')
})

t.test('answers with a length or an encoding, and those of other types, run to their end', async t => {
  const go = deferred()
  const brotli = createBrotliCompress()
  const { app, open } = await streamApp(t, 'http', {}, app => {
    const late = (path: string, headers: Record<string, string>): void => {
      app.get(path, { config }, async (_request, reply) => {
        const raw = hijack(reply, headers, 'data: 1\n\n')
        await go.promise
        raw.end('data: 2\n\n')
      })
    }
    late('/length', { ...events, 'Content-Length': '18' })
    late('/identity', { ...events, 'content-encoding': 'identity' })
    late('/json', { 'content-type': 'application/json' })
    late('/untyped', {})
    app.get('/encoded', { config }, async (_request, reply) => {
      reply.type('text/event-stream').header('content-encoding', 'br').send(brotli)
      brotli.write('data: 1\n\n')
      brotli.flush()
      await go.promise
      brotli.end('data: 2\n\n')
      return reply
    })
  })
  const streams = await Promise.all(['/length', '/json', '/untyped', '/encoded', '/identity'].map(path => open(path)))
  for (const stream of streams) await stream.until(/./)
  const closing = app.drain.begin('test')
  const last = streams.pop()
  t.equal(await last?.ended, 'complete', 'this one is ended')
  t.equal(last?.text, 'data: 1\n\nretry: 100\n\n')
  await sleep(50)
  go.resolve()
  for (const { ended, path, text } of streams) t.equal(await ended, 'complete', `${path} ${text}`)
  const encoded = streams.pop()
  t.equal(brotliDecompressSync(Buffer.from(encoded?.text ?? '', 'latin1')).toString(), 'data: 1\n\ndata: 2\n\n')
  for (const { path, text } of streams) t.equal(text, 'data: 1\n\ndata: 2\n\n', path)
  t.equal((await closing).connections.cut, 0)
})

t.test('other types are ended where the route names them, between two writes, without retry', async t => {
  const { app, open } = await streamApp(t, 'http', {}, app => {
    app.get('/lines', { config: { drain: { ...config.drain, contentTypes: ['application/x-ndjson'] } } }, (_request, reply) => {
      hijack(reply, { 'content-type': 'application/x-ndjson; charset=utf-8' }, '{"a":1}\n', '{"a":2}\n')
    })
  })
  const stream = await open('/lines')
  await stream.until(/2/)
  await app.drain.begin('test')
  t.equal(await stream.ended, 'complete')
  t.equal(stream.text, '{"a":1}\n{"a":2}\n')
})

t.test('retry as a range tells each client a time of its own', async t => {
  const { app, open } = await streamApp(t, 'http', {}, app => {
    app.get('/events', { config: { drain: { endStreams: 'begin', retry: [1000, 900_000] } } }, (_request, reply) => { endlessEvents(reply) })
  })
  const streams = await Promise.all(Array.from({ length: 8 }, () => open('/events')))
  for (const stream of streams) await stream.until(/tick/)
  await app.drain.begin('test')
  const told = streams.map(({ text }) => Number(/retry: (\d+)\n\n$/.exec(text)?.[1]))
  for (const ms of told) t.ok(ms >= 1000 && ms <= 900_000, `${ms}`)
  t.ok(new Set(told).size > 1)
})

t.test('HTTP/1.0, whose clients know no chunks: the FIN ends the stream', async t => {
  const { app, port } = await streamApp(t, 'http', {}, app => {
    app.get('/events', { config }, (_request, reply) => { endlessEvents(reply) })
  })
  const client = await rawClient(t, { host: '127.0.0.1', port })
  client.write('GET /events HTTP/1.0\r\n\r\n')
  await client.until(/id: 2/)
  const closing = app.drain.begin('test')
  await client.fin()
  client.halfClose()
  t.equal(await client.closed(), null)
  t.match(answers(client.received)[0]?.body, /^(id: \d+\ndata: tick\n\n)+retry: 100\n\n$/)
  t.equal((await closing).connections.cut, 0)
})

t.test('closeSpread is the window over which streams are ended', async t => {
  const { app, open } = await streamApp(t, 'http', { closeSpread: 600 }, app => {
    app.get('/events', { config }, (_request, reply) => { endlessEvents(reply) })
  })
  const streams = await Promise.all(Array.from({ length: 4 }, () => open('/events')))
  for (const stream of streams) await stream.until(/tick/)
  const ends: number[] = []
  for (const { ended } of streams) ended.then(() => ends.push(performance.now()))
  await app.drain.begin('test')
  await Promise.all(streams.map(({ ended }) => ended))
  t.ok((ends.at(-1) ?? 0) - (ends[0] ?? 0) > 300, 'not all at once')
})

t.test('a stream that app.inject() asked for ends when the app is closed', async t => {
  const { app } = await streamApp(t, 'http', {}, app => {
    app.get('/events', { config }, (_request, reply) => { endlessEvents(reply) })
  })
  const answer = app.inject('/events')
  await sleep(20)
  await app.close()
  t.match((await answer).body, /^(id: \d+\ndata: tick\n\n)+retry: 100\n\n$/)
})
