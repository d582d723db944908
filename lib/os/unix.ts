import { errnoOf, isLittleEndian, type Native } from './native.ts'

const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const MSG_DONTWAIT = 0x40
const SOCK_CLOEXEC = 0x80000

// struct sockaddr_un; a leading '@' means a name without a file, which only Linux has.
function unixAddress (native: Native, path: string): Uint8Array {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`)
  const address = new Uint8Array(2 + name.length)
  new DataView(address.buffer).setUint16(0, native.platform.addressFamilies.unix, isLittleEndian)
  address.set(name, 2)
  return address
}

/** Sends one datagram to a Unix socket, at once or not at all. */
export function sendDatagram (native: Native, path: string, text: string): void {
  const fd = native.socket(native.platform.addressFamilies.unix, SOCK_DGRAM | SOCK_CLOEXEC)
  try {
    native.sendTo(fd, Buffer.from(text), MSG_DONTWAIT, unixAddress(native, path))
  } finally {
    native.close(fd)
  }
}

/**
 * Takes a name that one process of the network namespace can have at a time; `null`: somebody has it. The returned
 * function gives it back, as does the end of the process, however it comes.
 */
export function takeName (native: Native, name: string): (() => void) | null {
  const fd = native.socket(native.platform.addressFamilies.unix, SOCK_STREAM | SOCK_CLOEXEC)
  try {
    const address = unixAddress(native, `@${name}`)
    native.bind(fd, address, address.length)
    return () => native.close(fd)
  } catch (error) {
    native.close(fd)
    if (errnoOf(error) === 'EADDRINUSE') return null
    throw error
  }
}
