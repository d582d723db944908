// `npm run bench`: every bench in one run, and the page of its results.
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'

import { nodeVersions, root } from '../scripts/toolchain.js'
import { readFlags } from './lib/flags.js'
import { run } from './lib/main.js'
import { describeMachine } from './lib/page/machine.js'
import { render } from './lib/page/render.js'
import { runParts } from './lib/page/run-parts.js'
import { parts } from './page/index.js'

const format = 1

await run(async () => {
  const flags = readFlags('Every bench in one run, and the page of its results: docs/benchmarks. The exit code is 1 when a part has failed or a target was missed.', {
    only: { type: 'names', allowed: Object.keys(parts), default: Object.keys(parts), what: 'parts to run' },
    keep: { type: 'boolean', default: false, what: 'what the folder has of other parts stays on the page' },
    quick: { type: 'boolean', default: false, what: 'short runs, to see that all works; the page says so' },
    'page-only': { type: 'boolean', default: false, what: 'runs nothing: makes the page of the results.json that is there' },
    log: { type: 'text', what: 'file for all that the benches print' },
    out: { type: 'text', default: join('docs', 'benchmarks'), what: 'folder of the page' }
  })
  const out = resolve(flags.out === join('docs', 'benchmarks') ? root : '.', flags.out)
  const file = join(out, 'results.json')
  await mkdir(out, { recursive: true })

  const earlier = flags['page-only'] || flags.keep ? await readResults(file) : null
  const results = flags['page-only'] ? earlier : await measure(flags, file, earlier)
  await writePage(results, out)
})

async function readResults (file) {
  const text = await readFile(file, 'utf8').catch(error => {
    throw new Error(`There are no results to begin with: ${error.message}`, { cause: error })
  })
  const results = JSON.parse(text)
  if (results.format !== format) throw new Error(`${file} is of another version of the benches: run them again`)
  return results
}

async function measure ({ only, quick, log }, file, earlier) {
  const results = { format, quick: quick || (earlier?.quick ?? false), machine: describeMachine(), parts: { ...earlier?.parts } }
  const chosen = Object.fromEntries(Object.keys(parts).filter(name => only.includes(name)).map(name => [name, parts[name]]))
  const major = process.versions.node.split('.')[0]
  await runParts(chosen, {
    quick,
    log,
    line: major in nodeVersions ? major : Object.keys(nodeVersions)[0],
    say: console.log,
    // After each, so that nothing is lost when a later one is interrupted.
    async onPart (name, result) {
      results.parts[name] = result
      await writeFile(file, `${JSON.stringify(results)}\n`)
    }
  })
  // Like what a later run with --page-only reads.
  return JSON.parse(await readFile(file, 'utf8'))
}

async function writePage (results, out) {
  const { markdown, charts, missed } = await render(results, parts)
  for (const name of await readdir(out)) {
    if (name.endsWith('.svg')) await rm(join(out, name))
  }
  await writeFile(join(out, 'README.md'), markdown)
  for (const [name, svg] of Object.entries(charts)) await writeFile(join(out, name), svg)
  console.log(`\nThe page is ${join(out, 'README.md')}`)
  for (const what of missed) console.log(`Missed: ${what}`)
  if (missed.length > 0) process.exitCode = 1
}
