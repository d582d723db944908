// The whole check, from a fresh clone: install, lint, types, build, package, then the suite on every Node line.
//
//   node scripts/test.js                  everything
//   node scripts/test.js --node 22        the suite on one Node line only
//   node scripts/test.js --only <file...> these test files only (with or without --node)
//
// The last line is `N passed, N failed`: the assertions of all lines; a failed step counts as one failure.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { lastRun, print } from './matrix.js'
import { tapLines, withoutFiles } from './tap-lines.js'
import {
  build, environmentOf, install, installSystemTools, needsBuild, needsInstall, nodeLine, nodeVersions, root, run, runTool
} from './toolchain.js'

// Coverage is measured on the oldest line.
const COVERAGE_LINE = '20'
// Of index.ts and lib/, in per cent: statements, branches, functions and lines, the lowest of them.
const COVERAGE = 98

const { values, positionals } = parseArgs({
  options: { node: { type: 'string' }, only: { type: 'boolean' } },
  allowPositionals: true
})
const isCI = process.env.CI === 'true'
const isPartial = values.node !== undefined || values.only === true

let passed = 0
let failed = 0

try {
  await main()
} catch (error) {
  failed++
  console.error(error)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

async function main () {
  if (needsInstall() && !await step('install', () => install())) return
  const bench = join(root, 'bench')
  if (needsInstall(bench) && !await step('install bench', () => install(bench))) return
  await checkSystemTools()

  const majors = values.node ? [values.node] : Object.keys(nodeVersions)
  const lines = resolveLines(majors)
  if (!isPartial) {
    // Two cores: what needs the build beside what does not.
    await Promise.all([
      inOrder([['lint', () => runTool('eslint', ['.'])], ['types', checkTypes], ['audit', audit]]),
      inOrder([['build', build], ['publint', checkPackage], ['attw', () => runTool('attw', ['--pack', '.'])]])
    ])
  } else if (needsBuild()) {
    await step('build', build)
  }
  await runSuites(await lines)
}

async function runSuites (lines) {
  const usable = lines.filter(({ path }) => path)
  for (const { major, error } of lines) {
    if (error) complain(`Node ${major} cannot be installed: ${error}`, values.node !== undefined)
  }
  if (usable.length === 0 && !values.node) {
    console.log(`The suite runs on the current Node ${process.versions.node} only.`)
    usable.push({ major: COVERAGE_LINE, path: process.execPath })
  }
  for (const line of usable) await runSuite(line)
  if (!values.only) showMatrix(usable)
}

/** What was tried, failure mode by failure mode; a cell that nobody has tried is a failure. */
function showMatrix (lines) {
  console.log('\nFailure modes on each server, and the Node lines on which they are as they must be')
  for (const problem of print(lastRun(lines.map(({ major }) => major)))) complain(problem, true)
}

async function runSuite ({ major, path }) {
  const started = performance.now()
  const env = environmentOf(path)
  const { output: version } = await run(path, ['--version'])
  const title = `Node ${version.trim().slice(1)}`
  console.log(`\n${title}`)

  const withCoverage = major === COVERAGE_LINE && !values.only
  const first = await runTap({ path, env, args: [...(withCoverage ? ['--allow-incomplete-coverage'] : ['--disable-coverage']), ...positionals] })
  const again = await runAgain(first, { path, env })

  // The raw TAP stays, for a closer look at a failure.
  mkdirSync(join(root, '.tap'), { recursive: true })
  writeFileSync(join(root, '.tap', `node-${major}.tap`), again === null ? first.tap : withoutFiles(first.tap, first.totals.failedFiles) + again.tap)

  const { pass, skip, todo, coverage } = first.totals
  const fail = again === null ? first.totals.fail : again.totals.fail
  const isCovered = !withCoverage || coverage >= COVERAGE
  const ok = (again ?? first).ok && isCovered
  passed += pass + first.totals.fail - Math.min(fail, first.totals.fail)
  failed += fail
  if (!ok && fail === 0) {
    failed++
    console.log(isCovered ? '  not ok  tap ended early' : `  not ok  coverage is ${coverage} %, and has to be ${COVERAGE} %`)
  }
  const others = `${skip ? `, ${skip} skipped` : ''}${todo ? `, ${todo} todo` : ''}`
  console.log(`${ok ? 'ok' : 'not ok'}  ${title}: ${pass} passed, ${fail} failed${others}  ${since(started)}`)
}

async function runTap ({ path, env, args }) {
  const report = tapLines(console.log)
  let tap = ''
  const { ok } = await run(path, [
    join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs'), 'run', '--reporter=tap', '--no-color', ...args
  ], {
    env,
    onStdout (text) {
      tap += text
      report.write(text)
    }
  })
  report.end()
  return { ok, tap, totals: report.totals }
}

/**
 * Real processes, proxies and clients on a machine that stands still for seconds: in CI a file that has failed is run once
 * more, alone, and says so. What is broken fails again. `null`: nothing was run again.
 */
async function runAgain ({ totals: { failedFiles, complete } }, { path, env }) {
  if (!isCI || values.only || !complete || failedFiles.length === 0 || failedFiles.length > 12) return null
  console.log(`  once more, alone: ${failedFiles.join(', ')}`)
  return runTap({ path, env, args: ['--disable-coverage', '--jobs=1', ...failedFiles] })
}

function resolveLines (majors) {
  return Promise.all(majors.map(async major => ({ major, ...await nodeLine(major) })))
}

async function checkSystemTools () {
  for (const { command, python, debian } of await installSystemTools()) {
    complain(`${command ?? `the Python module ${python}`} is missing (Debian package ${debian}); the tests that need it cannot run`)
  }
}

async function checkTypes () {
  const compiled = await runTool('tsc', [])
  return compiled.ok ? runTool('tstyche', []) : compiled
}

// What it says is of interest when nothing is wrong, too.
async function audit () {
  const { ok, output } = await run(process.execPath, [join(root, 'scripts', 'audit.js')])
  console.log(output.trimEnd())
  return { ok, output: '' }
}

function checkPackage () {
  return runTool('publint', ['run', '--strict', '.'])
}

/** Says what this machine lacks; in CI that is a failure. */
function complain (message, isFailure = isCI) {
  console.log(isFailure ? `not ok  ${message}` : message)
  if (isFailure) failed++
}

async function inOrder (steps) {
  for (const [title, action] of steps) await step(title, action)
}

async function step (title, action) {
  const started = performance.now()
  const { ok, output } = await action()
  console.log(`${ok ? 'ok' : 'not ok'}  ${title}  ${since(started)}`)
  if (!ok) {
    failed++
    console.log(output.trimEnd())
  }
  return ok
}

function since (started) {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`
}
