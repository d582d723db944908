import { isIP } from 'node:net'
import { canonical } from '../os/address.ts'
import { ownerOf, tcpListeners } from '../os/proc.ts'

interface InUse extends NodeJS.ErrnoException {
  address?: string
  port?: number
  /** Who listens there, where /proc tells. */
  owner?: { pid: number, command: string }
}

/** Makes the error of a server that cannot listen name the process that is in the way. */
export function explainInUse (error: InUse): void {
  if (error.code !== 'EADDRINUSE' || error.port === undefined) return
  const owner = ownerOfPort(error.address ?? '', error.port)
  if (owner === null) return
  error.owner = owner
  const words = `; process ${owner.pid} listens there${owner.command === '' ? '' : ` (${owner.command})`}`
  if (error.stack !== undefined) error.stack = error.stack.replace(error.message, () => error.message + words)
  error.message += words
}

function ownerOfPort (address: string, port: number): { pid: number, command: string } | null {
  try {
    const inodes = tcpListeners()
      .filter(line => line.port === port && clash(line.address, address))
      .map(({ inode }) => inode)
    return inodes.length === 0 ? null : ownerOf(new Set(inodes))
  } catch {
    // No /proc, or not for us.
    return null
  }
}

function clash (one: string, other: string): boolean {
  return isWildcard(one) || isWildcard(other) || one === canonical(other)
}

// The address of a host name is not known here.
function isWildcard (address: string): boolean {
  return isIP(address) === 0 || ['0.0.0.0', '::'].includes(canonical(address))
}
