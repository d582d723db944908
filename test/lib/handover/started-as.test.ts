import { join } from 'node:path'
import t from 'tap'
import { startedAs } from '../../../lib/handover/successor.ts'

const argsOf = (...argv: string[]): readonly string[] => startedAs({ execPath: '/bin/node', execArgv: ['--flag'], argv: ['/bin/node', ...argv], env: {} } as unknown as NodeJS.Process).args

t.test('a script below the working directory is named from there: a link that led here may lead elsewhere now', async t => {
  t.same(argsOf(join(process.cwd(), 'dist', 'app.js'), 'an argument'), ['--flag', './dist/app.js', 'an argument'])
})

t.test('a script elsewhere is named as it is', async t => {
  t.same(argsOf('/srv/app.js', `${process.cwd()}/file`), ['--flag', '/srv/app.js', `${process.cwd()}/file`])
})

t.test('without a script there is none', async t => {
  t.same(argsOf(), ['--flag'])
})
