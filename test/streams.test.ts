import fastifySSE from '@fastify/sse'
import t from 'tap'
import type { FastifyPluginAsync } from 'fastify'
import { once, type EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { deferred, eventually } from './helpers/app.ts'
import { endlessEvents, servers, streamApp, type ServerName } from './helpers/streams.ts'

const names = Object.keys(servers) as ServerName[]
const begin = { drain: { endStreams: 'begin', retry: 2000 } } as const

for (const name of names) {
  t.test(`row 17: ${name}: an endless event stream is ended when the drain begins, behind a whole event, with retry`, async t => {
    const stopped = deferred<unknown>()
    const { app, open } = await streamApp(t, name, {}, app => {
      app.get('/events', { config: begin }, (_request, reply) => { endlessEvents(reply).stopped.then(stopped.resolve) })
    })
    const stream = await open('/events')
    await stream.until(/id: 2/)
    const report = await app.drain.begin('test')
    t.equal(await stream.ended, 'complete')
    t.match(stream.text, /^(id: \d+\ndata: tick\n\n)+retry: 2000\n\n$/)
    await stopped.promise
    t.equal(report.connections.cut, 0)
    t.equal(report.requests.served, 1)
    t.ok(report.duration < 8000, 'before the deadline')
  })

  t.test(`${name}: a stream on a route of 'draining' is served as long as the lame duck lasts`, async t => {
    const { app, open } = await streamApp(t, name, { shutdownDelay: 300 }, app => {
      app.get('/events', { config: { drain: { endStreams: 'draining' } } }, (_request, reply) => { endlessEvents(reply) })
    })
    const stream = await open('/events')
    await stream.until(/id: 2/)
    const closing = app.drain.begin('test')
    t.equal(await stream.ended, 'complete')
    t.not(app.drain.phase, 'lame-duck')
    t.match(stream.text, /^(id: \d+\ndata: tick\n\n)+$/, 'no retry where none is asked for')
    t.equal((await closing).connections.cut, 0)
  })

  t.test(`${name}: on routes of 'deadline', and on those that say nothing, streams run on until they are cut`, async t => {
    const { app, open } = await streamApp(t, name, { hardStopAfter: 400 }, app => {
      app.get('/deadline', { config: { drain: { endStreams: 'deadline', retry: 1 } } }, (_request, reply) => { endlessEvents(reply) })
      app.get('/nothing', (_request, reply) => { endlessEvents(reply) })
    })
    const streams = [await open('/deadline'), await open('/nothing')]
    for (const stream of streams) await stream.until(/id: 2/)
    const report = await app.drain.begin('test')
    t.equal(report.connections.cut, 2)
    t.same(report.stragglers.map(({ route }) => route).sort(), ['/deadline', '/nothing'])
    for (const stream of streams) {
      t.not(await stream.ended, 'complete')
      t.notMatch(stream.text, /retry/)
    }
  })

  async function * untilClosed (raw: EventEmitter): AsyncGenerator<{ data: number }> {
    yield { data: 1 }
    yield { data: 2 }
    await once(raw, 'close')
  }

  t.test(`${name}: whatever the handler writes with, its answer is ended, and nothing that it writes later does harm`, async t => {
    const chunks = Array.from({ length: 3 }, (_, i) => `data: ${i}\n\n`)
    const destroyed: string[] = []
    const sent = (name: string, body: Readable): Readable => body.once('close', () => destroyed.push(name))
    const endless = (name: string): Readable => {
      const readable = sent(name, new Readable({ read () {} }))
      for (const chunk of chunks) readable.push(chunk)
      return readable
    }
    const webStream = (name: string): ReadableStream => new ReadableStream({
      start (controller) { for (const chunk of chunks) controller.enqueue(Buffer.from(chunk)) },
      cancel () { destroyed.push(name) }
    })
    const { app, open } = await streamApp(t, name, {}, async app => {
      await app.register(fastifySSE as unknown as FastifyPluginAsync)
      const options = { config: begin }
      app.get('/readable', options, (_request, reply) => { reply.type('text/event-stream; charset=utf-8').send(endless('readable')) })
      app.get('/web', options, (_request, reply) => { reply.type('text/event-stream').send(webStream('web')) })
      app.get('/response', options, async () => new Response(webStream('response'), { headers: { 'content-type': 'text/event-stream' } }))
      app.get('/raw', options, (_request, reply) => { endlessEvents(reply).stopped.then(() => destroyed.push('raw')) })
      app.get('/pipe', options, (_request, reply) => {
        reply.hijack()
        reply.raw.setHeader('Content-Type', 'text/event-stream')
        const source = endless('pipe')
        source.pipe(reply.raw)
        reply.raw.once('close', () => source.destroy())
      })
      app.get('/sse', { ...options, sse: true }, async (_request, reply) => {
        reply.sse.onClose(() => destroyed.push('sse'))
        for (const data of ['one', 'two']) await reply.sse.send({ data })
        reply.sse.keepAlive()
      })
      app.get('/sse-stream', { ...options, sse: true }, async (_request, reply) => {
        await reply.sse.send(sent('sse-stream', Readable.from(untilClosed(reply.raw))))
      })
    })
    const paths = ['readable', 'web', 'response', 'raw', 'pipe', 'sse', 'sse-stream']
    const streams = await Promise.all(paths.map(path => open(`/${path}`, { headers: { accept: 'text/event-stream' } })))
    for (const stream of streams) await stream.until(/data: .*\n\n[^]*data: .*\n\n/)
    const report = await app.drain.begin('test')
    for (const { ended, text, path } of streams) {
      t.equal(await ended, 'complete', path)
      t.match(text, /^((id: \d+\n)?data: .*\n\n)+retry: 2000\n\n$/, path)
    }
    await eventually(() => paths.every(path => destroyed.includes(path)), 'each was told')
    t.equal(report.connections.cut, 0)
  })
}
