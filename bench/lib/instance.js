import { spawn } from 'node:child_process'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { order } from './orders.js'

const serverFile = fileURLToPath(new URL('./server.js', import.meta.url))
const stderrLimit = 8192

/**
 * Starts a server process that inherits the listening socket and waits for orders.
 *
 * @param {object} options
 * @param {string} options.variant name of a file in `variants/`
 * @param {number} options.fd descriptor of the listening socket
 * @param {number} [options.work=0] milliseconds a request takes
 * @param {string[]} [options.execArgv] flags for node
 */
export function startInstance ({ variant, fd, work = 0, execArgv = [] }) {
  const child = spawn(process.execPath, [...execArgv, serverFile, variant, work], {
    stdio: ['ignore', 'ignore', 'pipe', fd, 'ipc'],
    env: environment()
  })
  endWithParent(child)

  let stderr = ''
  child.stderr.setEncoding('utf8')
  child.stderr.on('data', text => { stderr = (stderr + text).slice(-stderrLimit) })

  const exited = new Promise(resolve => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', () => resolve({ code: null, signal: null }))
  })

  return { variant, load: () => tell('load'), listen: () => tell('listen'), cpu: () => tell('cpu'), heap: () => tell('heap'), terminate, kill, stderr: () => stderr.trim() }

  async function tell (name) {
    try {
      return await order(child, `The server '${variant}'`, name)
    } catch (error) {
      if (stderr) error.message += `\n${stderr.trim()}`
      throw error
    }
  }

  /** Sends SIGTERM and resolves with the way the process ended; after `killAfter` milliseconds it is killed. */
  async function terminate (killAfter) {
    let killed = false
    const start = performance.now()
    child.kill('SIGTERM')
    const timer = setTimeout(() => {
      killed = true
      child.kill('SIGKILL')
    }, killAfter)
    const { code, signal } = await exited
    clearTimeout(timer)
    return { ms: Math.round(performance.now() - start), code, signal, killed }
  }

  async function kill () {
    child.kill('SIGKILL')
    await exited
  }
}

// The same server everywhere: inside a Kubernetes pod the plugin would add its readiness delay.
function environment () {
  const { KUBERNETES_SERVICE_HOST, ...env } = process.env
  return env
}
