import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { deferred, eventually } from './helpers/app.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { endlessEvents, servers, streamApp, type ServerName } from './helpers/streams.ts'

const names = Object.keys(servers) as ServerName[]
const begin = { drain: { endStreams: 'begin', retry: 100 } } as const

for (const name of names) {
  t.test(`${name}: a stream that begins in the lame duck is served to its end, whatever its route says`, async t => {
    const { app, open } = await streamApp(t, name, { shutdownDelay: 800 }, app => {
      app.get('/events', { config: begin }, (request, reply) => {
        reply.header('x-told', String(request.drainSignal.aborted))
        reply.raw.setHeader('x-told', String(request.drainSignal.aborted))
        endlessEvents(reply)
      })
    })
    const first = await open('/events')
    await first.until(/id: 2/)
    const closing = app.drain.begin('test')
    t.equal(await first.ended, 'complete')
    // What an EventSource does.
    const second = await open('/events')
    t.equal(second.headers['x-told'], 'false', 'its handler is not told before it has begun')
    await second.until(/id: 5\n/)
    t.equal(await second.ended, 'complete')
    t.not(app.drain.phase, 'lame-duck')
    t.match(second.text, /^(id: \d+\ndata: tick\n\n)+retry: 100\n\n$/)
    t.equal((await closing).connections.cut, 0)
  })

  if (name === 'https' || name === 'h2c') continue
  t.test(`${name}: a handler that has not begun to answer at that moment is not ended before its first event`, async t => {
    const asked = deferred()
    const go = deferred()
    const { app, open } = await streamApp(t, name, { shutdownDelay: 600 }, app => {
      app.get('/events', { config: begin }, async (_request, reply) => {
        asked.resolve()
        await go.promise
        endlessEvents(reply)
      })
      app.get('/headers', { config: begin }, async (_request, reply) => {
        await go.promise
        reply.hijack()
        reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
        reply.raw.flushHeaders()
      })
    })
    const opened = [open('/events'), open('/headers')]
    await asked.promise
    await eventually(() => app.drain.connections.active === 2, 'both were read')
    const closing = app.drain.begin('test')
    await new Promise(resolve => setTimeout(resolve, 20))
    go.resolve()
    const [events, headers] = await Promise.all(opened)
    t.equal(await events?.ended, 'complete')
    t.match(events?.text, /^(id: \d+\ndata: tick\n\n)+retry: 100\n\n$/)
    t.equal(await headers?.ended, 'complete')
    t.equal(headers?.text, 'retry: 100\n\n')
    t.equal((await closing).connections.cut, 0)
  })
}

t.test('a stream that begins when connections are being closed is ended behind its first event, on its idle connection', async t => {
  const { app, port } = await streamApp(t, 'http', { idleGrace: 2000 }, app => {
    app.get('/', async () => 'hello')
    app.get('/events', { config: begin }, (_request, reply) => { endlessEvents(reply) })
    app.get('/listens', { config: begin }, (request, reply) => { reply.send(String(request.drainSignal.aborted)) })
  })
  const clients = await Promise.all(['/events', '/listens'].map(() => rawClient(t, { host: '127.0.0.1', port })))
  const [events, listens] = clients
  for (const client of clients) {
    client.write(request('/'))
    await client.until(/hello/)
  }
  const closing = app.drain.begin('test')
  await eventually(() => app.drain.phase === 'draining', 'the grace runs')
  events?.write(request('/events'))
  listens?.write(request('/listens'))
  for (const client of clients) {
    await client.fin()
    client.halfClose()
  }
  t.match(answers(events?.received ?? '')[1], { status: 200, headers: { connection: 'close' }, body: /^(id: \d+\ndata: tick\n\n)+retry: 100\n\n$/ })
  t.match(answers(listens?.received ?? '')[1], { body: 'true' })
  t.equal((await closing).connections.cut, 0)
})

t.test('request.drainSignal is app.drain.signal where the route says nothing', async t => {
  const seen: boolean[] = []
  const { app, open } = await streamApp(t, 'http', {}, app => {
    app.get('/nothing', async request => { seen.push(request.drainSignal === app.drain.signal) })
    app.get('/begin', { config: begin }, async request => { seen.push(request.drainSignal === app.drain.signal) })
    app.get('/deadline', { config: { drain: { endStreams: 'deadline' } } }, async request => { seen.push(request.drainSignal === app.drain.signal) })
    app.setNotFoundHandler(async (request) => { seen.push(request.drainSignal === app.drain.signal) })
  })
  for (const path of ['/nothing', '/begin', '/deadline', '/missing']) await (await open(path)).ended
  t.same(seen, [true, true, false, true])
  await app.drain.begin('test')
})

t.test('request.drainSignal aborts at the moment of its route', async t => {
  const aborted: string[] = []
  const note = (app: FastifyInstance, endStreams: 'begin' | 'draining' | 'deadline'): void => {
    app.get(`/${endStreams}`, { config: { drain: { endStreams } } }, (request, reply) => {
      request.drainSignal.addEventListener('abort', () => aborted.push(`${endStreams}: ${app.drain.phase}, ${request.drainSignal.reason.code}`))
      endlessEvents(reply)
    })
  }
  const { app, open } = await streamApp(t, 'http', { shutdownDelay: 100, hardStopAfter: 400 }, app => {
    for (const endStreams of ['deadline', 'draining', 'begin'] as const) note(app, endStreams)
  })
  for (const path of ['/begin', '/draining', '/deadline']) await (await open(path)).until(/id: 1/)
  t.equal((await app.drain.begin('test')).connections.cut, 1)
  t.same(aborted, ['begin: lame-duck, FST_DRAIN_DRAINING', 'draining: draining, FST_DRAIN_DRAINING', 'deadline: draining, FST_DRAIN_DRAINING'])
})

t.test('a handler that listens to the signal has the last word', async t => {
  const { app, open } = await streamApp(t, 'http', {}, app => {
    app.get('/events', { config: begin }, (request, reply) => {
      const { raw } = reply.hijack()
      raw.writeHead(200, { 'content-type': 'text/event-stream' })
      raw.write('data: hello\n\n')
      request.drainSignal.addEventListener('abort', () => raw.end('event: bye\ndata:\n\n'))
    })
    app.get('/awaits', { config: begin }, async (request, reply) => {
      const { raw } = reply.hijack()
      raw.writeHead(200, { 'content-type': 'text/event-stream' })
      raw.write('data: hello\n\n')
      await once(request.drainSignal, 'abort')
      raw.write('event: bye\ndata:\n\n')
    })
  })
  const streams = [await open('/events'), await open('/awaits')]
  for (const stream of streams) await stream.until(/hello/)
  await app.drain.begin('test')
  for (const { ended } of streams) t.equal(await ended, 'complete')
  t.same(streams.map(({ text }) => text), ['data: hello\n\nevent: bye\ndata:\n\n', 'data: hello\n\nevent: bye\ndata:\n\nretry: 100\n\n'])
})
