import { addressText } from './address.ts'
import { errnoOf, type Native } from './native.ts'
import { socketInode, tcpListeners, unixListener } from './proc.ts'

export type ListenerAddress = { address: string, port: number, ipv6Only?: boolean } | { path: string }

const SOCK_STREAM = 1

/** Where the listening socket behind this descriptor listens, or in words what it is instead. */
export function listenerOf (fd: number, native: Native | null): ListenerAddress | string {
  try {
    return native === null ? fromProc(fd) : fromKernel(native, fd)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (errnoOf(error) === 'ENOTSOCK') return 'is not a socket'
    if (errnoOf(error) === 'EBADF' || code === 'ENOENT') return 'is not open'
    if (code === 'ERR_ACCESS_DENIED') return 'cannot be looked at without --allow-addons (koffi) or --allow-fs-read=/proc'
    return `cannot be looked at (${message})`
  }
}

function fromKernel (native: Native, fd: number): ListenerAddress | string {
  if (native.getInt(fd, 'SO_TYPE') !== SOCK_STREAM) return 'is not a stream socket'
  if (native.getInt(fd, 'SO_ACCEPTCONN') === 0) return 'is not listening'
  const { unix, inet, inet6 } = native.platform.addressFamilies
  const address = native.addressOf(fd)
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength)
  // Linux: 16 bits in the byte order of the machine; BSD: a length, then the family.
  const family = address[1] !== 0 ? address[1] : address[0]
  switch (family) {
    case unix: return { path: Buffer.from(address.subarray(2)).toString().replace(/(?!^)\0.*$/s, '') }
    case inet: return { address: addressText(address.subarray(4, 8)), port: view.getUint16(2) }
    case inet6: return ipv6Listener(addressText(address.subarray(8, 24)), view.getUint16(2), () => native.getInt(fd, 'IPV6_V6ONLY') !== 0)
    default: return `has the address family ${family}`
  }
}

// That tells only something of a socket on every address.
function ipv6Listener (address: string, port: number, isIPv6Only: () => boolean): ListenerAddress {
  return address === '::' && isIPv6Only() ? { address, port, ipv6Only: true } : { address, port }
}

function fromProc (fd: number): ListenerAddress | string {
  const inode = socketInode(fd)
  if (inode === null) return 'is not a socket'
  const found = tcpListeners().find(line => line.inode === inode)
  if (found !== undefined) return { address: found.address, port: found.port }
  const path = unixListener(inode)
  return path === null ? 'is not a listening stream socket' : { path }
}
