import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import drain from '../index.ts'
import { hasIPv6, nameBothAddresses } from './helpers/drain-localhost.ts'
import { startProcess } from './helpers/process.ts'

const installed = (): number[] => ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection'].map(name => process.listenerCount(name))

t.test('row 20: http: a signal while plugins still load ends the process, and nothing listens', async t => {
  const service = startProcess(t, new URL('fixtures/signals-loading.ts', import.meta.url))
  await service.message(({ type }) => type === 'loading')
  service.child.kill('SIGTERM')
  t.match(await service.exited, { code: null, signal: 'SIGTERM' })
  await t.rejects(service.message(({ type }) => type !== 'loading'))
})

t.test('row 20: http: listen() after close() is refused', async t => {
  const app = await build()
  await app.close()
  await refused(t, app, app.listen({ host: '127.0.0.1', port: 0 }))
})

t.test('row 20: http: listen() while close() runs is refused', async t => {
  const app = await build()
  await app.ready()
  const closing = app.close()
  const listening = app.listen({ host: '127.0.0.1', port: 0 })
  await refused(t, app, listening)
  await closing
})

t.test('row 20: http: listen() while a drain runs is refused', async t => {
  const app = await build()
  const closing = app.drain.begin('test')
  await refused(t, app, app.listen({ host: '127.0.0.1', port: 0 }))
  await closing
})

for (const host of ['127.0.0.1', 'localhost']) {
  t.test(`row 20: http: close() at any moment of listen() on ${host} leaves nothing that listens`, async t => {
    if (hasIPv6()) nameBothAddresses(t)
    for (let turns = 0; turns < 12; turns++) {
      const app = await build()
      const ports = new Set<number>()
      app.server.on('listening', () => ports.add((app.server.address() as AddressInfo).port))
      const listening = app.listen({ host, port: 0 }).then(() => 'listened', error => error.code)
      for (let i = 0; i < turns; i++) await new Promise(resolve => setImmediate(resolve))
      await app.close()
      const result = await listening
      t.ok(['listened', 'FST_DRAIN_CLOSING'].includes(result), `after ${turns} turns: ${result}`)
      t.equal(app.server.listening, false)
      for (const port of ports) {
        for (const address of ['127.0.0.1', '::1']) {
          await t.rejects(once(connect(port, address), 'connect'), { code: /ECONNREFUSED|EADDRNOTAVAIL/ })
        }
      }
    }
  })
}

t.test('row 20: http: close() between the two servers of localhost lets listen() end, and leaves nothing that listens', { skip: !hasIPv6() && '::1 is not there' }, async t => {
  // Fastify looks the name up again when its first server listens, and then asks that server for its address.
  nameBothAddresses(t, 50)
  const app = await build()
  const listening = app.listen({ host: 'localhost', port: 0 })
  await once(app.server, 'listening')
  const { port } = app.server.address() as AddressInfo
  await app.close()
  t.equal(await listening, `http://127.0.0.1:${port}`)
  t.equal(app.server.listening, false)
  for (const address of ['127.0.0.1', '::1']) {
    await t.rejects(once(connect(port, address), 'connect'), { code: 'ECONNREFUSED' })
  }
})

t.test('handlers for signals and errors are there while the app listens, and gone when it is closed', async t => {
  const before = installed()
  const app = await build({})
  await app.ready()
  t.same(installed(), before, 'not before it listens')
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.same(installed(), before.map(count => count + 1))
  await app.close()
  t.same(installed(), before)
})

t.test('the handlers are there once for all apps, until the last is closed', async t => {
  const before = installed()
  const apps = await Promise.all([build({}), build({}), build({ signals: ['SIGTERM'] })])
  for (const app of apps) await app.listen({ host: '127.0.0.1', port: 0 })
  for (const app of apps) {
    t.same(installed()[0], before[0]! + 1)
    await app.close()
  }
  t.same(installed(), before)
})

t.test('with signals: false no handler is installed, for errors neither', async t => {
  const before = installed()
  const app = await build({ signals: false })
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.same(installed(), before)
})

t.test('row 35: http: an app that is only used with inject() closes at once, without handlers and without a line in its log', async t => {
  const before = installed()
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'info', stream: { write (line: string) { lines.push(line) } } } })
  await app.register(drain, { idleGrace: 5000, shutdownDelay: 5000, closeSpread: 5000 })
  app.get('/', async () => 'hello')
  const { statusCode, headers } = await app.inject('/')
  t.equal(statusCode, 200)
  t.equal(headers.connection, 'keep-alive', 'as without the plugin')
  t.same(installed(), before)

  const [started, logged] = [performance.now(), lines.length]
  await app.close()
  t.ok(performance.now() - started < 1000)
  t.same(installed(), before)
  t.equal(lines.length, logged)
})

async function build (options = { idleGrace: 50, lingerTimeout: 100 } as object): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(drain, options)
  return app
}

async function refused (t: Test, app: FastifyInstance, listening: Promise<unknown>): Promise<void> {
  await t.rejects(listening, { code: 'FST_DRAIN_CLOSING' })
  t.equal(app.server.listening, false)
}
