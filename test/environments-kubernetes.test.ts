import t from 'tap'
import { parse } from 'yaml'
import { drainsUnderLoad, startPage } from './helpers/environment.ts'
import { snippet } from './helpers/snippets.ts'
import { rules } from '../lib/option-rules.ts'
import { kubernetesShutdownDelay } from '../lib/options.ts'

const { spec: { strategy, template: { spec } } } = parse(snippet('kubernetes', 'deployment.yaml'))
const [app] = spec.containers

t.test('the probes of the page ask for what health: true serves', async t => {
  t.match(snippet('kubernetes', 'server.js'), /health: true/)
  const { readiness, liveness } = rules.health.members ?? {}
  t.equal(app.readinessProbe.httpGet.path, readiness?.default)
  t.equal(app.livenessProbe.httpGet.path, liveness?.default)
  for (const { httpGet } of [app.readinessProbe, app.livenessProbe]) t.equal(httpGet.port, app.ports[0].containerPort)
})

t.test('the grace period of the page is above the deadline, and the plugin is told the same', async t => {
  t.ok(spec.terminationGracePeriodSeconds * 1000 > (rules.hardStopAfter.default as number) + 500)
  const told = app.env.find(({ name }: { name: string }) => name === 'TERMINATION_GRACE_PERIOD_SECONDS')
  t.equal(told.value, String(spec.terminationGracePeriodSeconds), 'as a string: the environment has no numbers')
})

t.test('the container of the page has node as process 1, and a new Pod is ready before an old one goes', async t => {
  t.same(app.command, ['node', 'server.js'])
  t.notOk('lifecycle' in app, 'a preStop hook would come on top of the shutdownDelay')
  t.equal(strategy.rollingUpdate.maxUnavailable, 0)
})

t.test('the server of the page serves as a lame duck, and drains under load', async t => {
  const started = await startPage(t, 'kubernetes', { env: { KUBERNETES_SERVICE_HOST: '10.96.0.1' } })
  await drainsUnderLoad(t, started)
  const { report } = await started.program.tellsWhere(({ report }) => report !== undefined, 'the report')
  t.match(report.phases[0], { phase: 'lame-duck' })
  t.ok(report.phases[0].duration >= kubernetesShutdownDelay)
})
