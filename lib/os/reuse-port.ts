import { errnoOf, isLittleEndian, type Native } from './native.ts'

const SOCK_STREAM = 1
const SOCK_CLOEXEC = 0x80000

/** A socket that shares its port, bound and not listening yet. The descriptor belongs to the caller. */
export function bindShared (native: Native, host: string, port: number, ipv6Only: boolean): number | null {
  return native.resolve(host, port, { socktype: SOCK_STREAM }, ({ family, addrlen, addr }) => {
    const fd = native.socket(family, SOCK_STREAM | SOCK_CLOEXEC)
    try {
      native.setOption(fd, 'SO_REUSEADDR', 1)
      native.setOption(fd, 'SO_REUSEPORT', 1)
      if (family === native.platform.addressFamilies.inet6) native.setOption(fd, 'IPV6_V6ONLY', ipv6Only ? 1 : 0)
      native.bind(fd, addr, addrlen)
      return fd
    } catch (error) {
      native.close(fd)
      throw error
    }
  })
}

/*
 * Classic BPF, see bpf(4) and Documentation/networking/filter.rst of Linux: the number that a program returns is the
 * slot, in the group of listeners on one port, that gets the new connection; one that does not exist leaves it to
 * the kernel's hash.
 */
const LOAD_ABSOLUTE = 0x20
const MODULO = 0x94
const RETURN_CONSTANT = 0x06
const RETURN_ACCUMULATOR = 0x16
// SKF_AD_OFF + SKF_AD_RANDOM
const RANDOM = 0xfffff000 + 56

function program (...instructions: Array<[code: number, operand: number]>): Uint8Array {
  const bytes = new Uint8Array(8 * instructions.length)
  const view = new DataView(bytes.buffer)
  instructions.forEach(([code, operand], i) => {
    view.setUint16(8 * i, code, isLittleEndian)
    view.setUint32(8 * i + 4, operand, isLittleEndian)
  })
  return bytes
}

/** Every new connection goes to this slot of the group. */
export function steerTo (native: Native, fd: number, slot: number): void {
  native.attachFilter(fd, program([RETURN_CONSTANT, slot]))
}

/** New connections go to the first slots of the group, at random. */
export function steerToFirst (native: Native, fd: number, slots: number): void {
  native.attachFilter(fd, program([LOAD_ABSOLUTE, RANDOM], [MODULO, slots], [RETURN_ACCUMULATOR, 0]))
}

/** The kernel's hash decides again. */
export function stopSteering (native: Native, fd: number): void {
  try {
    native.setOption(fd, 'SO_DETACH_REUSEPORT_BPF', 0)
  } catch (error) {
    // Nothing was attached.
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}
