import { readFile } from 'node:fs/promises'

// TCP_TIME_WAIT in the kernel's include/net/tcp_states.h
const timeWait = '06'

/**
 * The sockets in TIME_WAIT on the server's side of a port on IPv4, each as the addresses of its two ends.
 * The kernel's own table is what `ss -tan state time-wait` prints, and it is there where `ss` is not.
 *
 * @returns {Promise<Set<string> | null>} null where there is no such table (not Linux)
 */
export async function timeWaitSockets (port) {
  const localPort = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const table = await readFile('/proc/net/tcp', 'utf8').catch(() => null)
  if (table === null) return null

  return new Set(table.split('\n').flatMap(line => {
    const [, local, remote, state] = line.trim().split(/\s+/)
    return state === timeWait && local.endsWith(localPort) ? [`${local} ${remote}`] : []
  }))
}

/** How many of them there are, without those of `before`: an earlier run may have had the port, and its sockets end meanwhile. */
export async function countTimeWait (port, before = new Set()) {
  const sockets = await timeWaitSockets(port)
  return sockets === null ? null : [...sockets].filter(socket => !before?.has(socket)).length
}
