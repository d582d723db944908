import t from 'tap'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { startProcess, type StartedProcess } from './process.ts'

const fixture = new URL('../fixtures/ends.ts', import.meta.url)

t.test('a fixture hands over its messages, its output and its exit', async t => {
  const started = startProcess(t, fixture, { args: ['exit'], env: { FIXTURE_VALUE: 'given' } })
  t.equal(started.pid, started.child.pid)

  t.same(await started.message(({ type }) => type === 'value'), { type: 'value', value: 'given' })
  t.same(await started.message(), { type: 'ready', way: 'exit' })

  const { code, signal, at } = await started.exited
  t.equal(code, 3)
  t.equal(signal, null)
  t.ok(at <= performance.now())
  t.same(started.lines, ['ends by exit'])
  t.match(started.stderr, 'to stderr')
})

t.test('waiting for a message that never comes ends with the process', async t => {
  const started = startProcess(t, fixture, { args: ['return'] })
  const never = ({ type }: { type: string }) => type === 'never'
  await t.rejects(started.message(never), { message: /ended \(code 0, signal null\)/, output: /ends by return\n/ })
  await t.rejects(started.message(never), 'when it is asked for too late, too')
})

t.test('variables can be taken away from a fixture', async t => {
  process.env.FIXTURE_VALUE = 'inherited'
  t.teardown(() => { delete process.env.FIXTURE_VALUE })
  const started = startProcess(t, fixture, { args: ['return'], env: { FIXTURE_VALUE: undefined } })
  t.same(await started.message(({ type }) => type === 'value'), { type: 'value' })
})

for (const way of ['exit', 'signal', 'return']) {
  t.test(`the coverage of a process that ends by ${way} counts`, async t => {
    const folder = t.testdir()
    const started = startProcess(t, fixture, { args: [way], env: coverageInto(folder) })
    const { code, signal } = await started.exited
    t.equal(signal ?? code, { exit: 3, signal: 'SIGTERM', return: 0 }[way])
    t.same(calls(folder), { hasRun: 1, hasNotRun: 0 })
  })
}

t.test('a process that outlives its test is killed', async t => {
  let started: StartedProcess | undefined
  await t.test('the test', async t => {
    started = startProcess(t, fixture, { args: ['never'] })
    await started.message()
  })
  t.match(await started?.exited, { code: null, signal: 'SIGKILL' })
})

// tap tells its processes through the environment what to cover and where to leave it.
function coverageInto (folder: string) {
  return {
    _TAPJS_PROCESSINFO_CWD_: folder,
    _TAPJS_PROCESSINFO_COVERAGE_: '1',
    _TAPJS_PROCESSINFO_COV_FILES_: '',
    _TAPJS_PROCESSINFO_COV_EXCLUDE_FILES_: ''
  }
}

function calls (folder: string): Record<string, number> {
  const coverage = join(folder, '.tap', 'coverage')
  const counts: Record<string, number> = {}
  for (const file of readdirSync(coverage)) {
    for (const script of JSON.parse(readFileSync(join(coverage, file), 'utf8')).result) {
      if (!script.url.endsWith('/ends.ts')) continue
      for (const { functionName, ranges } of script.functions) {
        if (functionName) counts[functionName] = ranges[0].count
      }
    }
  }
  return counts
}
