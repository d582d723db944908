import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const serviceFile = fileURLToPath(new URL('./service.js', import.meta.url))
const patience = 60_000

/**
 * Starts the service, and reads its log and that of its successors, who are in the same process group.
 *
 * @param {object} options
 * @param {boolean} options.hasPlugin
 * @param {number} options.work milliseconds a request takes
 * @param {string} [options.report] file for the report of its drain, where it has the plugin
 * @param {number} [options.fd] the listening socket, where it has no plugin
 */
export function startService ({ hasPlugin, work, report, fd }) {
  const child = spawn(process.execPath, [serviceFile, String(hasPlugin), String(work), ...(report === undefined ? [] : [report])], {
    // With a channel to this process a successor would have two.
    stdio: ['ignore', 'pipe', 'pipe', ...(hasPlugin ? [] : [fd, 'ipc'])],
    env: environment(),
    detached: true
  })
  const lines = []
  const log = createInterface({ input: child.stdout })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', text => { stderr += text })
  log.on('line', text => { lines.push(JSON.parse(text)) })
  const ended = once(log, 'close')
  const exited = once(child, 'exit')
  const forgetSignals = endWithThisProcess(kill)

  return { pid: child.pid, exited, line, listen, end, stderr: () => stderr.trim() }

  /** Resolves with the first line of the log that fits, one that is there already or comes. */
  async function line (fits, what) {
    const tooLate = AbortSignal.timeout(patience)
    for (;;) {
      const found = lines.find(fits)
      if (found) return found
      const problem = lines.find(({ err }) => err)?.err.message
      if (problem || tooLate.aborted || log.closed) throw new Error([`The service ${what}.`, problem, stderr.trim()].filter(Boolean).join('\n'))
      await Promise.race([once(log, 'line', { signal: tooLate }), ended]).catch(() => {})
    }
  }

  /** Has it listen, where it has no plugin. */
  function listen () {
    child.send('listen')
  }

  async function end () {
    kill()
    forgetSignals()
    await ended
  }

  function kill () {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // They have all ended.
    }
  }
}

function endWithThisProcess (kill) {
  const onSignal = signal => {
    kill()
    process.off(signal, onSignal)
    process.kill(process.pid, signal)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, onSignal)
  process.on('exit', kill)
  return () => {
    for (const signal of signals) process.off(signal, onSignal)
    process.off('exit', kill)
  }
}

// The same service everywhere: inside a Kubernetes pod the plugin would add its readiness delay.
function environment () {
  const { KUBERNETES_SERVICE_HOST, ...env } = process.env
  return env
}
