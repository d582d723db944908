import t from 'tap'
import Fastify from 'fastify'
import drain from '../index.ts'
import { testApp } from './helpers/app.ts'
import { datagramSocket, skip } from './helpers/unit-native.ts'

/** The environment of a process that was started so, until teardown. */
function environment (t: { teardown (fn: () => unknown): void }, variables: Record<string, string>): void {
  const forget = (): void => { delete (process as unknown as Record<symbol, unknown>)[Symbol.for('fastify-drain.inherited.v1')] }
  forget()
  Object.assign(process.env, variables)
  t.teardown(() => {
    forget()
    for (const name of Object.keys(variables)) delete process.env[name]
  })
}

t.test('an app tells the service manager when it listens, and when it drains', { skip }, async t => {
  const path = `@fastify-drain/test/${process.pid}`
  const receive = datagramSocket(t, path)
  environment(t, { NOTIFY_SOCKET: path })
  const { app, listen } = await testApp(t)
  await app.ready()
  t.equal(receive(), null)
  await listen()
  t.equal(receive(), 'READY=1')
  await app.close()
  t.equal(receive(), 'STOPPING=1')
  t.equal(receive(), 'EXTEND_TIMEOUT_USEC=5000000\nSTATUS=draining, no connection')
  t.equal(receive(), null)
})

t.test('a service manager that does not answer is told of, and the app listens', { skip }, async t => {
  environment(t, { NOTIFY_SOCKET: '/nowhere/notify' })
  const { app, listen, logged } = await testApp(t)
  await listen()
  t.ok(app.server.listening)
  t.equal(logged.filter(line => line.includes('NOTIFY_SOCKET')).length, 1)
})

for (const [variables, words] of [
  [{ LISTEN_FDS: 'abc' }, /LISTEN_FDS is 'abc'/],
  [{ LISTEN_FDS: '-1', LISTEN_PID: String(process.pid) }, /LISTEN_FDS is '-1'/],
  [{ LISTEN_FDS: '1', LISTEN_PID: String(process.pid), LISTEN_FDNAMES: 'a:b' }, /LISTEN_FDNAMES has 2 names/],
  [{ LISTEN_FDS: '999', LISTEN_PID: String(process.pid) }, /^fastify-drain: descriptor \d+ of LISTEN_FDS is not/]
] as const) {
  t.test(`registration fails with ${JSON.stringify({ ...variables, LISTEN_PID: undefined })}, and nothing is half-open`, { skip }, async t => {
    environment(t, variables)
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(async () => { await app.register(drain, { signals: false }) }, { code: 'FST_DRAIN_INHERITED', message: words })
    t.notOk(app.hasDecorator('drain'))
  })
}

t.test('sockets that were passed to another process are left alone, and that is said', async t => {
  environment(t, { LISTEN_FDS: '1', LISTEN_PID: '1' })
  const { listen, logged } = await testApp(t)
  await listen()
  t.match(logged, [/^listen: the sockets of LISTEN_FDS are for process 1, this is \d+/])
})

for (const [options, code, words] of [
  [{ keepAlive: { idle: 500 } }, 'FST_DRAIN_INVALID_OPTION', /"keepAlive.idle" is 500; allowed: whole seconds, in milliseconds/],
  [{ keepAlive: { count: 0 } }, 'FST_DRAIN_INVALID_OPTION', /"keepAlive.count" is 0; allowed: a whole number from 1 to 127/],
  [{ keepAlive: { interval: NaN } }, 'FST_DRAIN_INVALID_OPTION', /"keepAlive.interval" is NaN/],
  [{ keepAlive: { intervall: 1000 } }, 'FST_DRAIN_UNKNOWN_OPTION', /did you mean "keepAlive.interval"/],
  [{ reusePort: 'yes' }, 'FST_DRAIN_INVALID_OPTION', /"reusePort" is 'yes'; allowed: true or false/]
] as const) {
  t.test(`registration fails with ${JSON.stringify(options)}`, async t => {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(async () => { await app.register(drain, options as object) }, { code, message: words })
  })
}

t.test('a Unix socket with reusePort is refused by app.listen(), and the app can listen elsewhere', { skip }, async t => {
  const { app, listen } = await testApp(t, { reusePort: true })
  const path = `\0fastify-drain/test/${process.pid}`
  await app.listen({ path }).then(
    () => t.fail('it listens'),
    async error => {
      t.equal(error.code, 'FST_DRAIN_REUSE_PORT')
      await listen()
    })
  t.ok(app.server.listening)
})
