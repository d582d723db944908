import { getSystemErrorName } from 'node:util'
import { errors } from '../errors.ts'
import { platformOf, type OptionName, type Platform } from './constants.ts'

/** The functions of the C library that are used; each returns -1 on failure. */
interface Libc {
  setsockopt (fd: number, level: number, name: number, value: Uint8Array, length: number): number
  attachFilter (fd: number, level: number, name: number, program: { len: number, filter: Uint8Array }, length: number): number
  getsockopt (fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array): number
  getsockname (fd: number, address: Uint8Array, length: Uint8Array): number
  ioctl (fd: number, request: number, type: 'int *', value: Int32Array): number
  socket (domain: number, type: number, protocol: number): number
  bind (fd: number, address: unknown, length: number): number
  sendto (fd: number, data: Uint8Array, length: number, flags: number, address: Uint8Array | null, addressLength: number): number
  poll (descriptors: Uint8Array, count: number, timeout: number): number
  close (fd: number): number
  getaddrinfo (host: string | null, service: string, hints: object, result: unknown[]): number
  freeaddrinfo (result: unknown): void
}

interface AddressInfo { family: number, addrlen: number, addr: unknown }

type Koffi = typeof import('koffi').default

/** System calls on descriptors, through koffi. Each throws FST_DRAIN_SYSTEM_CALL when the kernel refuses. */
export class Native {
  readonly platform: Platform
  readonly #libc: Libc
  readonly #koffi: Koffi
  // One for all: every connection that we close is asked about.
  readonly #answer = new Int32Array(1)
  readonly #addressInfo: ReturnType<Koffi['struct']>

  /** @internal Declarations that name koffi would ask for it, and it is optional. */
  constructor (koffi: Koffi, platform: Platform) {
    const lib = koffi.load(null)
    const program = koffi.struct({ len: 'uint16_t', filter: 'void *' })
    this.platform = platform
    this.#koffi = koffi
    this.#addressInfo = koffi.struct({
      flags: 'int', family: 'int', socktype: 'int', protocol: 'int', addrlen: 'uint32_t', addr: 'void *', canonname: 'void *', next: 'void *'
    })
    this.#libc = {
      setsockopt: lib.func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint32_t']),
      attachFilter: lib.func('setsockopt', 'int', ['int', 'int', 'int', koffi.pointer(program), 'uint32_t']),
      getsockopt: lib.func('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']),
      getsockname: lib.func('getsockname', 'int', ['int', 'void *', 'void *']),
      ioctl: lib.func('ioctl', 'int', ['int', 'unsigned long', '...']),
      socket: lib.func('socket', 'int', ['int', 'int', 'int']),
      bind: lib.func('bind', 'int', ['int', 'void *', 'uint32_t']),
      sendto: lib.func('sendto', 'intptr_t', ['int', 'void *', 'size_t', 'int', 'void *', 'uint32_t']),
      poll: lib.func('poll', 'int', ['void *', 'unsigned long', 'int']),
      close: lib.func('close', 'int', ['int']),
      getaddrinfo: lib.func('getaddrinfo', 'int', ['str', 'str', koffi.pointer(this.#addressInfo), koffi.out(koffi.pointer('void *'))]),
      freeaddrinfo: lib.func('freeaddrinfo', 'void', ['void *'])
    }
  }

  #check (call: string, result: number): number {
    if (result >= 0) return result
    throw systemCallError(call, getSystemErrorName(-this.#koffi.errno()))
  }

  has (option: OptionName): boolean {
    return this.platform.options[option] !== undefined
  }

  #option (option: OptionName): { level: number, name: number } {
    const found = this.platform.options[option]
    if (found === undefined) throw systemCallError(`setsockopt(${option})`, 'ENOPROTOOPT')
    return found
  }

  setOption (fd: number, option: OptionName, value: number | Uint8Array): void {
    const { level, name } = this.#option(option)
    const bytes = typeof value === 'number' ? int32(value) : value
    this.#check(`setsockopt(${option})`, this.#libc.setsockopt(fd, level, name, bytes, bytes.length))
  }

  getOption (fd: number, option: OptionName, length = 4): DataView {
    const { level, name } = this.#option(option)
    const bytes = new Uint8Array(length)
    this.#check(`getsockopt(${option})`, this.#libc.getsockopt(fd, level, name, bytes, int32(length)))
    return new DataView(bytes.buffer)
  }

  /** The value of an option that is an int. */
  getInt (fd: number, option: OptionName): number {
    return this.getOption(fd, option).getInt32(0, isLittleEndian)
  }

  /** Attaches a classic BPF program, 8 bytes an instruction. */
  attachFilter (fd: number, filter: Uint8Array): void {
    const { level, name } = this.#option('SO_ATTACH_REUSEPORT_CBPF')
    const pointerSize = this.#koffi.sizeof('void *')
    this.#check('setsockopt(SO_ATTACH_REUSEPORT_CBPF)',
      this.#libc.attachFilter(fd, level, name, { len: filter.length / 8, filter }, 2 * pointerSize))
  }

  ioctl (fd: number, request: number): number {
    const result = this.#libc.ioctl(fd, request, 'int *', this.#answer)
    if (result < 0) this.#check(`ioctl(${request})`, result)
    return this.#answer[0] as number
  }

  /** The raw sockaddr that a socket is bound to. */
  addressOf (fd: number): Uint8Array {
    const address = new Uint8Array(128)
    const length = int32(address.length)
    this.#check('getsockname()', this.#libc.getsockname(fd, address, length))
    return address.subarray(0, new DataView(length.buffer).getInt32(0, isLittleEndian))
  }

  socket (domain: number, type: number): number {
    return this.#check('socket()', this.#libc.socket(domain, type, 0))
  }

  bind (fd: number, address: unknown, length: number): void {
    this.#check('bind()', this.#libc.bind(fd, address, length))
  }

  sendTo (fd: number, data: Uint8Array, flags: number, address: Uint8Array): void {
    this.#check('sendto()', Number(this.#libc.sendto(fd, data, data.length, flags, address, address.length)))
  }

  /** Returns how many bytes were taken. */
  send (fd: number, data: Uint8Array, flags: number): number {
    return this.#check('send()', Number(this.#libc.sendto(fd, data, data.length, flags, null, 0)))
  }

  /** Whether the kernel has room for what is written, which means a third of the send buffer: poll(2), POLLOUT. */
  isWritable (fd: number): boolean {
    // struct pollfd: the descriptor, the events that are wanted, and those that are there.
    const descriptors = new DataView(new ArrayBuffer(8))
    descriptors.setInt32(0, fd, isLittleEndian)
    descriptors.setInt16(4, pollOut, isLittleEndian)
    this.#check('poll()', this.#libc.poll(new Uint8Array(descriptors.buffer), 1, 0))
    return descriptors.getInt16(6, isLittleEndian) === pollOut
  }

  close (fd: number): void {
    this.#libc.close(fd)
  }

  /** Calls `use` with the first address of a host; `null` where it has none. The address is valid in this call only. */
  resolve<T> (host: string, port: number, hints: { socktype: number }, use: (address: AddressInfo) => T): T | null {
    const result: unknown[] = [null]
    if (this.#libc.getaddrinfo(host, String(port), hints, result) !== 0) return null
    try {
      return use(this.#koffi.decode(result[0], this.#addressInfo) as AddressInfo)
    } finally {
      this.#libc.freeaddrinfo(result[0])
    }
  }
}

// The same number on every platform.
const pollOut = 4

function systemCallError (call: string, errno: string): Error {
  return Object.assign(new errors.SystemCall(call, errno), { errno })
}

/** The errno name of an FST_DRAIN_SYSTEM_CALL. */
export function errnoOf (error: unknown): unknown {
  return (error as { errno?: unknown }).errno
}

export const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

function int32 (value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, value, isLittleEndian)
  return bytes
}

/**
 * System calls where they can be made here, else what is in the way.
 * @internal
 */
export async function loadNative (
  load: () => Promise<{ default: Koffi }> = () => import('koffi'),
  { platform, arch }: { platform: string, arch: string } = process
): Promise<Native | string> {
  const table = platformOf(platform, arch)
  if (table === null) return `socket options cannot be set on ${platform}-${arch}`
  try {
    return new Native((await load()).default, table)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return `koffi cannot be loaded (${code ?? message}; ${remedyFor(code)})`
  }
}

function remedyFor (code: string | undefined): string {
  // Node's permission model.
  if (code === 'ERR_DLOPEN_DISABLED') return 'start node with --allow-addons'
  // Node's errors have a code. Without one it is koffi's own, which has not found its addon.
  return code === undefined ? 'npm install koffi, and leave it out of a bundle' : 'npm install koffi'
}
