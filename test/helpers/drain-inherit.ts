import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

export interface Instance {
  /** Resolves when it accepts connections. */
  listen (): Promise<void>
  /** SIGTERM; resolves when the process has ended. */
  terminate (): Promise<{ code: number | null, signal: NodeJS.Signals | null, ms: number }>
}

/**
 * Starts `count` processes that inherit one listening socket of 127.0.0.1, and says on which port; killed on teardown.
 * They share its accept queue, which no restart ever closes: what a test sees is what happens to connections.
 */
export async function startInstances (
  t: { teardown (fn: () => unknown): void }, fixture: URL, count: number
): Promise<{ port: number, instances: Instance[] }> {
  const listener = createServer()
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  const { port } = listener.address() as AddressInfo
  // Node has no public way to name the descriptor of a listening socket.
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle
  const children = Array.from({ length: count }, () => fork(fileURLToPath(fixture), {
    execArgv: process.execArgv.filter(argument => !argument.includes('@tapjs/mock')),
    stdio: ['ignore', 'ignore', 'inherit', fd, 'ipc']
  }))
  for (const child of children) {
    t.teardown(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    })
  }
  // From here on this process accepts nothing.
  await once(listener.close(), 'close')
  await Promise.all(children.map(child => once(child, 'message')))
  return { port, instances: children.map(instance) }
}

function instance (child: ChildProcess): Instance {
  return {
    async listen () {
      child.send('listen')
      await once(child, 'message')
    },
    async terminate () {
      const started = performance.now()
      child.kill('SIGTERM')
      const [code, signal] = await once(child, 'exit')
      return { code, signal, ms: performance.now() - started }
    }
  }
}

/** How many connections of this port are in TIME_WAIT on the server's side: what `ss -tan state time-wait` shows. */
export function serverTimeWait (port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readFileSync('/proc/net/tcp', 'utf8').split('\n').filter(line => {
    const [, from = '', , state] = line.trim().split(/\s+/)
    // TCP_TIME_WAIT
    return state === '06' && from.endsWith(local)
  }).length
}
