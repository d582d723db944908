import { readFile } from 'node:fs/promises'

// TCP_TIME_WAIT in the kernel's include/net/tcp_states.h
const timeWait = '06'

/**
 * Counts the sockets in TIME_WAIT on the server's side of a port on IPv4.
 * The kernel's own table is what `ss -tan state time-wait` prints, and it is there where `ss` is not.
 *
 * @returns {Promise<number | null>} null where there is no such table (not Linux)
 */
export async function countTimeWait (port) {
  const localPort = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const table = await readFile('/proc/net/tcp', 'utf8').catch(() => null)
  if (table === null) return null

  return table.split('\n').filter(line => {
    const [, local, , state] = line.trim().split(/\s+/)
    return state === timeWait && local.endsWith(localPort)
  }).length
}
