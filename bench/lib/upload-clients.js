import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'

const pythonFile = fileURLToPath(new URL('./uploads.py', import.meta.url))
const nodeFile = fileURLToPath(new URL('./uploads.js', import.meta.url))
const patience = 120_000

/**
 * Clients that do not wait for an answer before they have sent everything. Each is a command that uploads `size` bytes `count`
 * times, `width` at a time, and says in a line of JSON what became of each: `status` and `body`, or `error`.
 */
export const clients = {
  python: { title: 'Python http.client', run: options => watch('python3', [pythonFile, ...commandLine(options)], options) },
  curl: { title: 'curl', run: uploadWithCurl },
  http: { title: 'Node http', run: options => watch(process.execPath, [nodeFile, 'http', ...commandLine(options)], options) },
  undici: { title: 'undici', run: options => watch(process.execPath, [nodeFile, 'undici', ...commandLine(options)], options) }
}

function commandLine ({ url, size, count, width }) {
  return [url, size, count, width].map(String)
}

/** curl takes one URL a transfer, and keeps the answers in files. */
async function uploadWithCurl ({ url, size, count, width, ...options }) {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-drain-'))
  try {
    const body = join(folder, 'body')
    await fill(body, size)
    const outcomes = await watch('curl', [
      '--no-progress-meter', '--verbose', '--globoff', '--max-time', '30',
      ...width > 1 ? ['--parallel', '--parallel-immediate', '--parallel-max', String(width)] : [],
      '--header', 'Content-Type: application/json', '--header', 'Expect:', '--data-binary', `@${body}`,
      // Not on stdout, which would be kept until it ends.
      '--write-out', '%{stderr}{"status":"%{response_code}","exit":%{exitcode},"file":"%{filename_effective}"}\\n',
      ...Array.from({ length: count }, (_, i) => ['--output', join(folder, `answer-${i}`), url]).flat()
    ], { ...options, begins: { pattern: /^\* (Connected to|Established connection)/, times: width } })
    return await Promise.all(outcomes.map(async ({ status, exit, file, ...rest }) => {
      const body = await readFile(file ?? '', 'utf8').catch(() => '')
      return exit === 0 ? { ...rest, status: Number(status), body } : { ...rest, error: rest.error ?? `curl ${exit}` }
    }))
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function fill (path, size) {
  const file = await open(path, 'w')
  await file.write(Buffer.alloc(size, 'x'))
  await file.close()
}

/** Runs the command; resolves with what it said of each upload, and the moment `at` which it said so. */
async function watch (command, args, { onBegun = () => {}, begins }) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  endWithParent(child)
  const outcomes = []
  let toBegin = begins?.times ?? 1
  let stderr = ''
  const timer = setTimeout(() => child.kill('SIGKILL'), patience)

  createInterface({ input: child.stdout }).on('line', hear)
  createInterface({ input: child.stderr }).on('line', hear)

  const [code] = await Promise.race([once(child, 'close'), once(child, 'error').then(([error]) => { throw new Error(`${command} cannot be started: ${error.message}`) })])
  clearTimeout(timer)
  if (outcomes.length === 0) throw new Error(`${command} has reported nothing (exit code ${code}).\n${stderr.trim()}`)
  return outcomes

  function hear (line) {
    if (line === 'begun') onBegun()
    else if (line.startsWith('{"')) outcomes.push({ at: performance.now(), ...JSON.parse(line) })
    else if (begins === undefined) stderr += `${line}\n`
    else if (begins.pattern.test(line) && --toBegin === 0) onBegun()
  }
}
