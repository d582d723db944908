import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import drain from '../index.ts'
import { testApp } from './helpers/app.ts'
import { endlessEvents, streamApp } from './helpers/streams.ts'

const config = { drain: { endStreams: 'begin' } } as const
const whole = /^(id: \d+\ndata: tick\n\n)+$/

t.test('what config.drain of a route says is checked when the route is registered', async t => {
  const { app } = await testApp(t)
  const register = (drain: unknown) => () => app.get('/events', { config: { drain } as object }, async () => '')
  const invalid = (drain: unknown, name: string, value: string, allowed: RegExp): void => {
    t.throws(register(drain), { code: 'FST_DRAIN_INVALID_OPTION', message: `fastify-drain: option "GET /events: config.drain${name}" is ${value}; allowed: ` }, value)
    t.throws(register(drain), { message: allowed })
  }
  invalid({ endStreams: 'lame-duck' }, '.endStreams', "'lame-duck'", /'begin', 'draining' or 'deadline'/)
  invalid({ endStreams: 'begin', retry: -1 }, '.retry', '-1', /a whole number of milliseconds from 0 to 2147483647, or a list of two/)
  invalid({ endStreams: 'begin', retry: [1000] }, '.retry', '[ 1000 ]', /list of two/)
  invalid({ endStreams: 'begin', retry: '1s' }, '.retry', "'1s'", /list of two/)
  invalid({ endStreams: 'begin', contentTypes: ['text/html; charset=utf-8'] }, '.contentTypes', "[ 'text/html; charset=utf-8' ]", /without parameters/)
  invalid({ endStreams: 'begin', contentTypes: 'text/html' }, '.contentTypes', "'text/html'", /list of media types/)
  invalid('begin', '', "'begin'", /an object with endStreams, and retry and contentTypes if need be/)
  invalid({ retry: 5 }, '', '{ retry: 5 }', /an object with endStreams/)
  invalid(null, '', 'null', /an object/)
  t.throws(register({ endStream: 'begin', endStreams: 'begin' }), {
    code: 'FST_DRAIN_UNKNOWN_OPTION',
    message: 'fastify-drain: there is no option "GET /events: config.drain.endStream"; did you mean "GET /events: config.drain.endStreams"? Known are endStreams, retry, contentTypes'
  })
  t.throws(() => app.route({ method: ['GET', 'POST'], url: '/a', config: { drain: {} as never }, handler: async () => '' }), /"GET\|POST \/a: config.drain" is {}/)
  for (const [i, fine] of [undefined, { endStreams: 'deadline' }, { endStreams: 'begin', retry: [0, 1] }].entries()) {
    app.get(`/fine/${i}`, { config: { drain: fine } as object }, async () => '')
  }
})

t.test('a polluted prototype is no setting', async t => {
  const { app } = await testApp(t)
  Object.assign(Object.prototype, { drain: { endStreams: 'never' } })
  t.teardown(() => { delete (Object.prototype as { drain?: unknown }).drain })
  app.get('/events', { config: {} }, async () => '')
  t.pass('the route was registered')
})

t.test('a route that says nothing gets no hook', async t => {
  const { app } = await testApp(t)
  const hooks: unknown[] = []
  app.addHook('onRoute', ({ onRequest }) => { hooks.push(onRequest) })
  app.get('/', { exposeHeadRoute: false }, async () => '')
  app.get('/other', { exposeHeadRoute: false, config: { other: 1 } as object }, async () => '')
  t.same(hooks, [undefined, undefined])
})

t.test('hooks of the route, of its plugin and of the app run as ever, in any part of the app', async t => {
  const ran: string[] = []
  const note = (name: string) => async (): Promise<void> => { ran.push(name) }
  const { app, open } = await streamApp(t, 'http', {}, app => {
    app.addHook('onRequest', note('app'))
    app.register(async part => {
      part.addHook('onRequest', note('plugin'))
      part.get('/', { config, onRequest: [note('first'), note('second')] }, (_request, reply) => { endlessEvents(reply) })
      part.get('/one', { config, onRequest: note('one'), onSend: note('onSend') }, async () => 'short')
    }, { prefix: '/part' })
  })
  t.equal((await open('/part/one')).status, 200)
  t.same(ran.splice(0), ['app', 'plugin', 'one', 'onSend'])
  const streams = [await open('/part'), await open('/part/')]
  t.same(ran, ['app', 'plugin', 'first', 'second', 'app', 'plugin', 'first', 'second'])
  for (const stream of streams) await stream.until(/tick/)
  t.equal((await app.drain.begin('test')).connections.cut, 0)
  for (const { ended, text } of streams) {
    t.equal(await ended, 'complete')
    t.match(text, whole)
  }
})

t.test('short answers and errors of such a route are what they are anywhere', async t => {
  const { app, open } = await streamApp(t, 'http', { shutdownDelay: 100 }, app => {
    app.get('/json', { config }, async () => ({ a: 1 }))
    app.get('/error', { config }, async () => { throw new Error('as expected') })
    app.get('/empty', { config }, (_request, reply) => { reply.code(204).send() })
    app.get('/refused', { config, onRequest: (_request, reply) => { reply.code(401).send('no') } }, async () => '')
  })
  const look = async (): Promise<unknown[]> => {
    const all = await Promise.all(['/json', '/error', '/empty', '/refused'].map(path => open(path)))
    for (const { ended } of all) await ended
    return all.map(({ status, text }) => [status, text])
  }
  const before = await look()
  t.match(before, [[200, '{"a":1}'], [500, /as expected/], [204, ''], [401, 'no']])
  const closing = app.drain.begin('test')
  t.same(await look(), before)
  await closing
})

async function oneStream (t: Parameters<typeof streamApp>[0], app: FastifyInstance): Promise<number> {
  t.teardown(() => app.close())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const reader = (await fetch(`${url}/events`)).body?.getReader()
  await reader?.read()
  const report = await app.drain.begin('test')
  await reader?.cancel().catch(() => {})
  return report.connections.cut
}

t.test('a route that is registered before the plugin is not seen: its streams run to the deadline', async t => {
  const app = Fastify()
  app.register(drain, { signals: false, idleGrace: 50, hardStopAfter: 300 })
  // The plugin is loaded when this turn is over.
  app.get('/events', { config }, (_request, reply) => { endlessEvents(reply) })
  t.equal(await oneStream(t, app), 1)
})

t.test('one that is registered behind an awaited plugin, or in a plugin after it, is seen', async t => {
  const app = Fastify()
  app.register(drain, { signals: false, idleGrace: 50, hardStopAfter: 5000 })
  app.register(async part => { part.get('/events', { config }, (_request, reply) => { endlessEvents(reply) }) })
  t.equal(await oneStream(t, app), 0)
})
