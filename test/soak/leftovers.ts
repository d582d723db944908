import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Processes that have ended and that one of these parents has not waited for. */
export function zombies (parents: readonly number[]): number[] {
  return processes().filter(pid => {
    const [state, parent] = read(`/proc/${pid}/stat`).replace(/^.*\) /s, '').split(' ')
    return state === 'Z' && parents.includes(Number(parent))
  })
}

/** What is still there of a service when all of its processes have ended: in words. */
export async function leftovers (folder: string, ports: readonly number[], patience = 5000): Promise<string[]> {
  // A socket of a client that was cut may take its time.
  for (const end = performance.now() + patience; performance.now() < end && openSockets(ports).length > 0;) await sleep(50)
  return [
    ...processes().filter(pid => pid !== process.pid && read(`/proc/${pid}/environ`).includes(folder)).map(pid => `process ${pid}`),
    ...openSockets(ports).map(line => `socket ${line}`),
    ...read('/proc/net/unix').split('\n').filter(line => line.includes(folder)).map(line => `Unix socket ${line}`),
    ...(readdirSync(folder, { recursive: true }) as string[]).filter(name => name !== 'tmp').map(name => `file ${name}`)
  ]
}

/** TCP sockets of the server's side, but for TIME_WAIT. */
function openSockets (ports: readonly number[]): string[] {
  return read('/proc/net/tcp').split('\n').filter(line => {
    const [, local = '', , state] = line.trim().split(/\s+/)
    return ports.includes(parseInt(local.split(':')[1] ?? '', 16)) && state !== '06'
  })
}

function processes (): number[] {
  return readdirSync('/proc').map(Number).filter(pid => pid > 0)
}

function read (path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
