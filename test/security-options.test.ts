import t from 'tap'
import Fastify from 'fastify'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import drain from '../index.ts'
import { resolveOptions, type FastifyDrainOptions } from '../lib/options.ts'
import { drainMetrics } from '../lib/prometheus.ts'
import { testApp } from './helpers/app.ts'
import { startProcess } from './helpers/process.ts'

t.test('a prototype that is polluted when the plugin is registered switches nothing on, by an option or by the environment', async t => {
  const file = join(t.testdir({}), 'drain.json')
  const pollution = {
    handover: true,
    health: true,
    readiness: '/',
    report: { file },
    reusePort: true,
    hardStop: 'reset',
    hardStopAfter: 1,
    behind: 'nginx',
    listenFdName: 'web',
    maxConnectionAge: 1,
    shutdownDelay: 20_000,
    KUBERNETES_SERVICE_HOST: '10.0.0.1',
    TERMINATION_GRACE_PERIOD_SECONDS: '1',
    NOTIFY_SOCKET: '/nowhere',
    LISTEN_FDS: 'many',
    FASTIFY_DRAIN_HANDOVER: '{}'
  }
  const started = startProcess(t, new URL('./fixtures/security-polluted.ts', import.meta.url), {
    env: { POLLUTION: JSON.stringify(pollution), KUBERNETES_SERVICE_HOST: undefined, NOTIFY_SOCKET: undefined }
  })
  const told = await started.message()
  await started.exited
  t.same(told.statuses, { '/': 200, '/readyz': 404, '/livez': 404 })
  t.equal(told.handover, 'FST_DRAIN_HANDOVER_IMPOSSIBLE')
  t.equal(told.phase, 'serving')
  t.same(told.phases, ['lame-duck', 'draining', 'closed'])
  t.equal(told.cut, 0)
  t.ok(told.duration < 10_000)
  t.notOk(existsSync(file))
  t.equal([...started.lines, started.stderr].join(''), '')
})

for (const text of ['{"__proto__":{"handover":true}}', '{"constructor":{"prototype":{"polluted":true}}}', '{"health":{"__proto__":{"readiness":"/x"}}}', '{"report":{"file":"a","constructor":{}}}', '{"prototype":{}}']) {
  t.test(`options from JSON are refused, and pollute nothing: ${text}`, async t => {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(async () => app.register(drain, JSON.parse(text)), { code: 'FST_DRAIN_UNKNOWN_OPTION' })
    t.equal(({} as any).polluted, undefined)
    t.equal(({} as any).handover, undefined)
  })
}

t.test('of an option that is a getter the value that was checked is the one that is used', async t => {
  for (let evil = 1; evil <= 6; evil++) {
    let reads = 0
    const given = { get hardStopAfter () { return ++reads === evil ? '1 or so' : 1000 } } as unknown as FastifyDrainOptions
    try {
      t.equal(resolveOptions(given, {}).hardStopAfter, 1000)
    } catch (error) {
      t.match(error, { code: 'FST_DRAIN_INVALID_OPTION' })
    }
  }
  const throwing = Object.defineProperty({}, 'health', { enumerable: true, get () { throw new Error('not to be read') } })
  t.throws(() => resolveOptions(throwing, {}), /not to be read/)
})

t.test('a proxy that has everything has no option but those that it owns', async t => {
  const everything = new Proxy({}, { get: () => true, has: () => true })
  t.same(resolveOptions(everything, {}), resolveOptions({}, {}))
  const unknown = new Proxy({ handovr: true }, {})
  t.throws(() => resolveOptions(unknown as FastifyDrainOptions, {}), { code: 'FST_DRAIN_UNKNOWN_OPTION' })
})

t.test('a table is not asked for what Object has: behind "constructor" is no proxy, a label "__proto__" none', async t => {
  for (const behind of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
    t.throws(() => resolveOptions({ behind } as unknown as FastifyDrainOptions, {}), { code: 'FST_DRAIN_INVALID_OPTION' }, behind)
  }
  const { app } = await testApp(t)
  await t.rejects(async () => app.register(drainMetrics, { registry: new Registry(), labels: JSON.parse('{"__proto__":"x"}') }), { code: 'FST_DRAIN_INVALID_OPTION' })
})
