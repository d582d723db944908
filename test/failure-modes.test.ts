import t from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import type { Row } from './helpers/rows.ts'
import { servers, type ServerName } from './helpers/servers.ts'

// The scripts are plain JavaScript, without types.
const script = '../scripts/matrix.js'
const { inWords, print, readMatrix } = await import(script)
const names = Object.keys(servers) as ServerName[]
const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const files = readdirSync(new URL('rows', import.meta.url)).sort()
const rows: Row[] = await Promise.all(files.map(async file => (await import(`./rows/${file}`)).default))

t.test('there is a row for every failure mode', async t => {
  t.same(rows.map(({ number }) => number), Array.from({ length: 35 }, (_, i) => i + 1))
  for (const [i, file] of files.entries()) t.ok(file.startsWith(`row-${String(rows[i]?.number).padStart(2, '0')}-`), file)
})

t.test('every row is run by a test file', async t => {
  const runners = readdirSync(new URL('.', import.meta.url)).filter(file => file.startsWith('rows-')).map(file => read(`test/${file}`)).join('')
  for (const file of files) t.ok(runners.includes(`'./rows/${file}'`), file)
})

t.test('every row has tests on every server, or says why not', async t => {
  for (const { number, tests = {}, only = {}, notOn = {}, elsewhere = {} } of rows) {
    for (const name of names) {
      const isTried = Object.keys({ ...tests, ...only[name] }).length > 0
      const isExcused = notOn[name] !== undefined
      if (elsewhere[name] !== undefined) {
        const found = elsewhere[name].split(', ').every(file => new RegExp(`row ${number}: (?:\\w+, )*${name}[:,]`).test(read(file)))
        t.ok(found && !isTried && !isExcused, `row ${number}: ${name}: ${elsewhere[name]}`)
      } else {
        t.ok(isTried !== isExcused || (isExcused && only[name] === undefined), `row ${number}: ${name}`)
      }
    }
  }
})

t.test('docs/failure-modes.md says the same', async t => {
  const lines = Object.keys(JSON.parse(read('scripts/nodes.json'))).join(' ')
  const doc = read('docs/failure-modes.md')
  const reasons = new Map([...doc.matchAll(/^- (\(\w\)) (.*)$/gm)].map(([, letter = '', reason = '']) => [letter, reason]))
  const table = [...doc.matchAll(/^\| (\d+) \| (.*) \| (.*) \| (.*) \| (.*) \| (.*) \| (.*) \| (.*) \|$/gm)]
  t.same(table.map(([, ...cells]) => [...cells.slice(0, 3), ...cells.slice(3).map(cell => reasons.get(cell) ?? cell)]), rows.map(row => [
    String(row.number), row.situation, row.expected, ...names.map(name => row.notOn?.[name] ?? lines)
  ]), 'otherwise run `npm test` and then `node scripts/matrix.js --write`')
})

const comments = `
    # row 1: situation: something happens
    # row 1: expected: something else
    # row 1: h2c: not here: it cannot happen
    # row 1: h2: not here: it cannot happen
    # row 1: allowHTTP1: not here: nor can this`
const passed = `${comments}
    ok 1 - row 1: http: it does # time=1ms
        ok 2 - row 1: http, https: it does so here # time=1ms
    ok 3 - row 1: without a server it is no row
`

t.test('the matrix shows what has passed, and why nothing was tried', async t => {
  const lines: string[] = []
  t.same(print(readMatrix({ 22: passed, 24: passed }), (line: string) => lines.push(line)), [])
  t.same(lines, [
    '   failure mode       http   https  h2c  h2   allowHTTP1',
    '1  something happens  22 24  22 24  (a)  (a)  (b)',
    '(a) it cannot happen',
    '(b) nor can this'
  ])
})

t.test('the matrix tells of what has failed, was skipped, or did not run', async t => {
  const failed = passed.replace('ok 2', 'not ok 2')
  const skipped = comments + '\n ok 1 - row 1: http: it does # SKIP nobody can\n ok 2 - row 1: https: it does\n ok 3 - row 1: h2: it does'
  const { table, problems } = inWords(readMatrix({ 20: passed, 22: failed, 24: skipped, 26: comments }))
  t.same(table, [[1, 'something happens', 'something else', '20 24 skipped 22 NOT 26 NOT', '20 24 22 NOT 26 NOT', '(a)', '(a)', '(b)']])
  t.same(problems, [
    'row 1 on http, Node 22: 1 failed',
    'row 1 on http, Node 26: no test',
    'row 1 on https, Node 22: 1 failed',
    'row 1 on https, Node 26: no test',
    'row 1 has tests on h2, and says why it has none'
  ])
})
