import t from 'tap'
import { readFileSync } from 'node:fs'
import { runInNewContext } from 'node:vm'
import { testApp } from './helpers/app.ts'
import { errors } from '../lib/errors.ts'
import { rules } from '../lib/option-rules.ts'
import { kubernetesShutdownDelay } from '../lib/options.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

/** The rows of the table whose first column has this heading, as lists of cells. */
function table (heading: string): string[][] {
  const lines = readme.split('\n')
  const start = lines.findIndex(line => line.startsWith(`| ${heading} |`))
  const end = lines.findIndex((line, i) => i > start && !line.startsWith('|'))
  return lines.slice(start + 2, end).map(line => line.split('|').slice(1, -1).map(cell => cell.trim()))
}

const code = (cell: string | undefined): string => /^`(.*?)`/.exec(cell ?? '')?.[1] ?? ''

t.test('the table of options names every option with the default that the code has', async t => {
  const documented = Object.fromEntries(table('option').map(([name, byDefault]) => [code(name), code(byDefault)]))
  t.same(Object.keys(documented), Object.keys(rules))
  for (const [name, rule] of Object.entries(rules)) {
    t.strictSame(runInNewContext(`structuredClone(${documented[name]})`, { structuredClone }), rule.default, name)
  }
  t.match(readme, `in Kubernetes (\`KUBERNETES_SERVICE_HOST\` is set) the default is ${kubernetesShutdownDelay}`)
})

t.test('the table of errors names every error of the catalogue', async t => {
  t.same(table('error').map(([name]) => code(name)).sort(), [...new Set(Object.values(errors).map(Constructor => new (Constructor as any)().code))].sort())
})

t.test('the table of app.drain names every member', async t => {
  const { app } = await testApp(t)
  t.same(table('member').map(([name]) => code(name).replace(/\(.*/, '')).sort(), Object.keys(app.drain).sort())
})

t.test('every file that the README links to exists', async t => {
  for (const [, target = ''] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
    t.ok(readFileSync(new URL(`../${target}`, import.meta.url)).length > 0, target)
  }
})
