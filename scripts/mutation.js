// Mutation check: changes lib/ in small ways, one at a time, and sees whether a test fails. docs/mutation.md says what is measured.
//
//   node scripts/mutation.js                       all files of mutation/stryker.config.js
//   node scripts/mutation.js --files lib/drain.ts  these only (comma-separated, each may end in `:from-to` lines)
//   node scripts/mutation.js --since main          those of them that have changed since this commit
//   node scripts/mutation.js --tests 'test/lib/drain*'  with these tests only: does the neighbour do it alone?
//   node scripts/mutation.js --incremental         keeps the last result of a mutant as long as its code and its tests stay as they are
//   node scripts/mutation.js --json                the result as JSON
//   node scripts/mutation.js --write               keeps the tables of the run in docs/mutation.md
//   node scripts/mutation.js --last                tells of the last run again, and tries nothing
//
// Ends with 1 where fewer than 85 % of the mutants are noticed.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { explained } from '../mutation/explained.js'
import { files } from '../mutation/stryker.config.js'
import { outcomes, inMarkdown, inWords, totals } from './mutation-score.js'
import { environmentOf, install, needsInstall, nodeLine, root, run } from './toolchain.js'

// In per cent of all mutants, explained ones included.
const leastScore = 85

// It strips types itself, which starts a test file in half of the time that the oldest line takes; Stryker needs 22 or newer.
const nodeMajor = '24'

const { values } = parseArgs({
  options: {
    files: { type: 'string' },
    since: { type: 'string' },
    tests: { type: 'string' },
    concurrency: { type: 'string' },
    incremental: { type: 'boolean' },
    json: { type: 'boolean' },
    write: { type: 'boolean' },
    last: { type: 'boolean' }
  }
})
const say = values.json ? console.error : console.log
const folder = join(root, 'mutation')
const reportFile = join(root, '.mutation', 'report.json')
const page = join(root, 'docs', 'mutation.md')

process.exitCode = await main()

async function main () {
  const started = performance.now()
  if (!values.last) {
    const chosen = await choose()
    if (chosen.length === 0) {
      say('Nothing that is mutated has changed.')
      return 0
    }
    const problem = await mutate(chosen)
    if (problem !== null) {
      say(problem)
      return 1
    }
  }
  const results = outcomes(JSON.parse(readFileSync(reportFile, 'utf8')), explained)
  const minutes = values.last || values.incremental ? null : Math.ceil((performance.now() - started) / 60_000)
  if (values.json) console.log(JSON.stringify(results, null, 2))
  else for (const line of inWords(results)) console.log(line)
  if (values.write) keep(results, minutes)

  const { score } = totals(results.files)
  const isEnough = score >= leastScore
  say(`${isEnough ? 'ok' : 'not ok'}  ${score.toFixed(1)} % of the mutants were noticed, ${leastScore} % have to be${minutes === null ? '' : `  ${minutes} min`}`)
  return isEnough ? 0 : 1
}

async function choose () {
  if (values.files !== undefined) return values.files.split(',')
  if (values.since === undefined) return files
  const { ok, output } = await run('git', ['diff', '--name-only', values.since, '--', 'lib'])
  if (!ok) throw new Error(output)
  const changed = output.split('\n')
  return files.filter(file => changed.includes(file))
}

/** Runs Stryker; the problem where there is no result, else `null`. */
async function mutate (chosen) {
  for (const each of [root, folder]) {
    if (!needsInstall(each)) continue
    say(`Installing the dependencies of ${each === root ? 'the project' : 'mutation/'} ...`)
    const { ok, output } = await install(each)
    if (!ok) return output
  }
  const { path, error } = await nodeLine(nodeMajor)
  if (error !== undefined) return `Node ${nodeMajor} cannot be installed: ${error}`

  mkdirSync(join(root, '.mutation'), { recursive: true })
  const { ok } = await run(path, [
    join(folder, 'node_modules', '@stryker-mutator', 'core', 'bin', 'stryker.js'), 'run', join(folder, 'stryker.config.js'),
    '--mutate', chosen.join(','), ...(values.tests === undefined ? [] : ['--testFiles', values.tests]),
    ...(values.concurrency === undefined ? [] : ['--concurrency', values.concurrency]),
    ...(values.incremental ? ['--incremental'] : [])
    // A test that waits for what the mutant keeps from happening gives up after this many seconds.
  ], { env: { ...environmentOf(path), TAP_TIMEOUT: '10' }, onStdout: text => say(text.trimEnd()) })
  return ok ? null : 'The mutation test could not be run.'
}

function keep (results, minutes) {
  const text = readFileSync(page, 'utf8')
  const [before, , after] = text.split(/(<!-- measured -->\n[^]*<!-- end -->)/)
  writeFileSync(page, `${before}<!-- measured -->\n${inMarkdown(results, minutes)}\n<!-- end -->${after}`)
}
