import { spawn } from 'node:child_process'
import { performance } from 'node:perf_hooks'

import { endWithParent } from './children.js'
import { order } from './orders.js'

const stderrLimit = 8192

/**
 * Starts a server process that takes orders; it ends with this process.
 *
 * @param {object} options
 * @param {string} options.variant how errors call it
 * @param {string[]} options.command a command that ends in running node, and its arguments
 * @param {unknown[]} [options.descriptors] what the process has as descriptors 3 and up; the channel for orders follows
 */
export function startServerProcess ({ variant, command: [command, ...args], descriptors = [] }) {
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe', ...descriptors, 'ipc'],
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

  return { tell, terminate, leave, kill, stderr: () => stderr.trim() }

  async function tell (name, argument) {
    try {
      return await order(child, `The server '${variant}'`, name, argument)
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

  /** Closes the channel for orders, at which the server exits; resolves when the command has ended. */
  async function leave () {
    if (child.connected) child.disconnect()
    await exited
  }

  async function kill () {
    child.kill('SIGKILL')
    await exited
  }
}

/** The same server everywhere: inside a Kubernetes pod the plugin would add its readiness delay. */
export function environment () {
  const { KUBERNETES_SERVICE_HOST, ...env } = process.env
  return env
}
