import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { endWithParent } from '../children.js'

const bench = fileURLToPath(new URL('../../', import.meta.url))
const lastWords = 5

/**
 * Runs a bench in a process of its own; resolves with what it has written to its `--json` file.
 *
 * @param {string[]} command the file in bench/, and its flags
 * @param {object} options
 * @param {boolean} [options.typescript=false] it imports TypeScript
 * @param {number} options.timeout milliseconds after which it is ended
 * @param {(line: string, done: number | null) => void} options.onLine told of every line that says how far it is: the share that is done
 * @param {string} [options.log] file for all of its output
 */
export async function runBench ([file, ...flags], { typescript = false, timeout, onLine, log }) {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-drain-'))
  const json = join(folder, 'results.json')
  try {
    const { code, output } = await run(file, [...flags, '--json', json], { typescript, timeout, onLine })
    if (log !== undefined) await writeFile(log, `${output.join('\n')}\n`, { flag: 'a' })
    const results = await readFile(json, 'utf8').catch(() => '')
    // A bench whose own target was missed, or of which one run failed, has results all the same.
    if (results === '') throw new Error(`${file} has failed (${code}): ${why(output)}`)
    return JSON.parse(results)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** The error of a process that has crashed is followed by its stack. */
function why (output) {
  const lines = output.filter(line => line.trim() !== '')
  return lines.find(line => /^(\w*Error)\b.*:/.test(line)) ?? (lines.slice(-lastWords).join(' / ') || 'it said nothing')
}

function run (file, args, { typescript, timeout, onLine }) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...typescript ? ['--import=@tapjs/typescript/import'] : [], join(bench, file), ...args], {
      cwd: join(bench, '..'),
      env: { ...process.env, ...typescript ? { TS_NODE_TRANSPILE_ONLY: '1' } : {} },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    endWithParent(child)
    const output = []
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      child.kill('SIGTERM')
      setTimeout(() => child.kill('SIGKILL'), 10_000).unref()
    }, timeout)
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', line => {
        output.push(line)
        const [, done, total] = /^(?:Node \d+ )?\[(\d+)\/(\d+)\]/.exec(line) ?? []
        if (done !== undefined) onLine(line, done / total)
      })
    }
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (isLate) reject(new Error(`${file} did not come to its end within ${Math.round(timeout / 60_000)} min`))
      else resolve({ code: signal ?? `exit code ${code}`, output })
    })
  })
}
