import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { environment } from './server-process.js'

const fileOf = name => fileURLToPath(new URL(name, import.meta.url))
const stderrLimit = 8192
// Longer than the plugin gives a successor, and than a busy machine takes to move its connections, in ms.
const patience = 60_000

/**
 * A server process, and the successors that it starts: all of them report on one stdout, and end with it.
 *
 * @param {object} options
 * @param {string} options.variant name of a file in `variants/`
 * @param {string} options.node the binary that runs it
 * @param {string[]} [options.execArgv] flags for node
 * @param {number} [options.port=0]
 * @param {number} options.work milliseconds a request takes
 * @param {Record<string, string>} [options.mark] added to the environment
 * @param {string} [options.script] the server's file in this folder
 */
export function startLineage ({ variant, node, execArgv = [], port = 0, work, mark = {}, script = 'handover-server.js' }) {
  const child = spawn(node, [...execArgv, fileOf(`./${script}`), variant, String(port), String(work)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...environment(), ...mark }
  })
  const events = []
  const waiting = new Set()
  const running = new Set()
  let stderr = ''
  let failed = null

  endWithParent(child)
  child.on('error', error => fail(`cannot be started: ${error.message}`))
  child.stderr.setEncoding('utf8').on('data', text => { stderr = (stderr + text).slice(-stderrLimit) })
  createInterface({ input: child.stdout }).on('line', line => hear(JSON.parse(line)))
  const closed = once(child.stderr, 'close').then(() => fail('has ended'))

  return { pid: child.pid, running, saw, kill, end, stderr: () => stderr.trim() }

  function hear (event) {
    events.push(event)
    if (event.event === 'exit') running.delete(event.pid)
    else running.add(event.pid)
    for (const wake of waiting) wake()
  }

  function fail (how) {
    failed ??= `The server '${variant}' ${how}.\n${stderr.trim()}`
    for (const wake of waiting) wake()
  }

  /** Resolves with the first event of that name, of this process if one is given; rejects when there can be none any more. */
  async function saw (name, pid, limit = patience) {
    const isIt = one => one.event === name && (pid === undefined || one.pid === pid)
    const end = Date.now() + limit
    for (;;) {
      const found = events.find(isIt)
      if (found !== undefined) return found
      const trouble = events.find(one => one.event === 'failed')
      if (trouble !== undefined) throw new Error(`The handover has failed: ${trouble.message}\n${stderr}`)
      if (failed !== null) throw new Error(failed)
      if (Date.now() >= end) throw new Error(`The server '${variant}' did not report '${name}' within ${limit} ms.\n${stderr.trim()}`)
      await woken(end - Date.now())
    }
  }

  function woken (limit) {
    return new Promise(resolve => {
      const timer = setTimeout(wake, limit)
      waiting.add(wake)
      function wake () {
        clearTimeout(timer)
        waiting.delete(wake)
        resolve()
      }
    })
  }

  function kill (pid, signal) {
    process.kill(pid, signal)
  }

  /** Ends all processes, and resolves when none has the other end of stderr any more. */
  async function end () {
    child.stdout.destroy()
    const limit = sleep(5000, 'late', { ref: false })
    if (await Promise.race([closed, limit]) !== 'late') return
    for (const pid of running) process.kill(pid, 'SIGKILL')
    await closed
  }
}
