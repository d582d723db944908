import t from 'tap'
import fs from 'node:fs'
import { basename, join, relative } from 'node:path'
import { reportFile } from '../../lib/report-file.ts'
import { crowd, reportOf } from '../helpers/unit-report.ts'

function setUp () {
  const lines: string[] = []
  const to = (level: string) => (_fields: object, message: string) => { lines.push(`${level}: ${message}`) }
  return { lines, log: { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') } }
}

t.test('both files are there when the call returns, and the log says where', async t => {
  const { lines, log } = setUp()
  const folder = t.testdir({})
  const report = reportOf(crowd(3))
  reportFile(join(folder, 'drain.json'), log)(report)
  t.same(JSON.parse(fs.readFileSync(join(folder, 'drain.json'), 'utf8')), report)
  t.match(fs.readFileSync(join(folder, 'drain.html'), 'utf8'), /^<!doctype html>[^]*drain\.json[^]*<\/html>\n$/)
  t.same(lines, [`info: drain: the report is in ${join(folder, 'drain.json')}, and to be seen in ${join(folder, 'drain.html')}`])
  t.same(fs.readdirSync(folder).sort(), ['drain.html', 'drain.json'], 'and nothing else')
})

t.test('the page has the same name with .html in place of the extension', async t => {
  for (const [file, page] of [['a', 'a.html'], ['a.b.json', 'a.b.html'], ['.hidden', '.hidden.html'], ['a.htm', 'a.html']] as const) {
    const folder = t.testdir({})
    reportFile(join(folder, file), setUp().log)(reportOf([]))
    t.same(fs.readdirSync(folder).sort(), [file, page].sort())
  }
})

t.test('what was there is replaced by a new file, so that a reader sees the old one or the new one', async t => {
  const folder = t.testdir({ 'drain.json': 'an old one', 'drain.html': 'an old one' })
  const fd = fs.openSync(join(folder, 'drain.json'), 'r')
  t.teardown(() => fs.closeSync(fd))
  reportFile(join(folder, 'drain.json'), setUp().log)(reportOf([]))
  t.equal(fs.readFileSync(fd, 'utf8'), 'an old one')
  t.match(fs.readFileSync(join(folder, 'drain.json'), 'utf8'), /^{.*}\n$/)
})

t.test('a new file is for its owner alone; one that is replaced keeps its permissions', async t => {
  const folder = t.testdir({ 'drain.html': 'an old one' })
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  fs.chmodSync(join(folder, 'drain.html'), 0o640)
  reportFile(join(folder, 'drain.json'), setUp().log)(reportOf([]))
  t.equal(fs.statSync(join(folder, 'drain.json')).mode & 0o777, 0o600)
  t.equal(fs.statSync(join(folder, 'drain.html')).mode & 0o777, 0o640)
})

t.test('a symbolic link is replaced, and what it leads to is left alone', async t => {
  const folder = t.testdir({ elsewhere: 'not ours' })
  fs.chmodSync(join(folder, 'elsewhere'), 0o644)
  for (const name of ['drain.json', 'drain.html']) fs.symlinkSync('elsewhere', join(folder, name))
  reportFile(join(folder, 'drain.json'), setUp().log)(reportOf([]))
  t.equal(fs.readFileSync(join(folder, 'elsewhere'), 'utf8'), 'not ours')
  t.equal(fs.lstatSync(join(folder, 'drain.json')).mode, fs.constants.S_IFREG | 0o600)
})

t.test('a relative path is meant from where the app was registered', async t => {
  const folder = t.testdir({ elsewhere: {} })
  const cwd = process.cwd()
  t.teardown(() => process.chdir(cwd))
  const write = reportFile(relative(cwd, join(folder, 'drain.json')), setUp().log)
  process.chdir(join(folder, 'elsewhere'))
  write(reportOf([]))
  t.ok(fs.existsSync(join(folder, 'drain.json')))
})

t.test('a file that cannot be written is refused at once, with the reason', async t => {
  const folder = t.testdir({ file: '', 'taken.json': {}, 'page.html': {} })
  for (const [file, reason] of [
    [join(folder, 'missing', 'drain.json'), /missing cannot be used \(ENOENT\)/],
    [join(folder, 'file', 'drain.json'), /file is no folder/],
    [join(folder, 'taken.json'), /there is a folder of that name/],
    [join(folder, 'page.json'), /there is a folder of that name/],
    [join(folder, 'drain.html'), /which is where the page goes/],
    [join(folder, 'drain.HTML'), /which is where the page goes/]
  ] as const) {
    t.throws(() => reportFile(file, setUp().log), { code: 'FST_DRAIN_INVALID_OPTION', message: /option "report\.file" is .*; allowed: the path of a file, not a \.html one, in a folder that exists and can be written to$/ })
    t.throws(() => reportFile(file, setUp().log), { message: reason }, basename(file))
  }
  t.same(fs.readdirSync(folder).sort(), ['file', 'page.html', 'taken.json'], 'and nothing was written')
})

t.test('a folder that is gone when the drain ends is one error in the log', async t => {
  const { lines, log } = setUp()
  const folder = t.testdir({ reports: {} })
  const write = reportFile(join(folder, 'reports', 'drain.json'), log)
  fs.rmdirSync(join(folder, 'reports'))
  t.doesNotThrow(() => write(reportOf(crowd(1))))
  t.same(lines, [`error: drain: the report could not be written to ${join(folder, 'reports', 'drain.json')}`])
})

t.test('what is left half written is removed', async t => {
  const { lines, log } = setUp()
  const folder = t.testdir({})
  const write = reportFile(join(folder, 'drain.json'), log)
  // Nothing can be renamed to the name of a folder that is not empty.
  fs.mkdirSync(join(folder, 'drain.json', 'inside'), { recursive: true })
  write(reportOf([]))
  t.equal(lines.length, 1)
  t.same(fs.readdirSync(folder), ['drain.json'])
})

t.test('every field of the file is in its documentation', async t => {
  const page = fs.readFileSync(new URL('../../docs/report.md', import.meta.url), 'utf8')
  const documented = new Set([...page.matchAll(/`([^`\n]+)`/g)].flatMap(([, code]) => code!.split(/[.…[\]]+/)))
  const names = (value: unknown): string[] => typeof value !== 'object' || value === null
    ? []
    : Object.entries(value).flatMap(([name, member]) => [...Array.isArray(value) ? [] : [name], ...names(member)])
  for (const name of new Set(names(reportOf(crowd(1))))) t.ok(documented.has(name), name)
})
