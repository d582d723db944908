import koffi from 'koffi'
import type { Server, Socket } from 'node:net'
import { errors } from '../../lib/errors.ts'
import { descriptorOf } from '../../lib/os/descriptor.ts'
import { loadNative, type Native } from '../../lib/os/native.ts'

const loaded = await loadNative()
if (typeof loaded === 'string' && process.env['CI'] === 'true') throw new Error(loaded)

/** Why the tests of system calls cannot run here, or `false`. They say what Linux does. */
export const skip: string | false = process.platform !== 'linux' ? 'this is what Linux does' : typeof loaded === 'string' ? loaded : false

/** The system calls of this machine; not to be touched where the tests are skipped. */
export const native = loaded as Native

/** The system calls of this machine, some of them replaced. */
export function nativeWith (replaced: Partial<Native>): Native {
  return new Proxy(native, {
    get (target, name) {
      if (name in replaced) return replaced[name as keyof Native]
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

/** What a system call throws that the kernel refuses. */
export function refused (call: string, errno: string): Error {
  return Object.assign(new errors.SystemCall(call, errno), { errno })
}

/** The TCP keepalive that the kernel keeps for a listener or socket, in seconds and ms as it does. */
export function keepAliveOf (owner: Server | Socket | number): { on: number, idle: number, interval: number, count: number, userTimeout: number } {
  const fd = typeof owner === 'number' ? owner : descriptorOf(owner) as number
  return {
    on: native.getInt(fd, 'SO_KEEPALIVE'),
    idle: native.getInt(fd, 'TCP_KEEPIDLE'),
    interval: native.getInt(fd, 'TCP_KEEPINTVL'),
    count: native.getInt(fd, 'TCP_KEEPCNT'),
    userTimeout: native.getInt(fd, 'TCP_USER_TIMEOUT')
  }
}

/** A Unix socket of this type, with this path; `@` begins a name without a file. The descriptor belongs to the caller. */
export function boundUnixSocket (path: string, type: number): number {
  const text = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  const { unix } = native.platform.addressFamilies
  const address = Buffer.concat([new Uint8Array(new Uint16Array([unix]).buffer), Buffer.from(text)])
  const fd = native.socket(unix, type)
  native.bind(fd, address, address.length)
  return fd
}

/** A datagram socket at this path; the function returns the next message that it has received, or `null`. */
export function datagramSocket (t: { teardown (fn: () => unknown): void }, path: string): () => string | null {
  const receive = koffi.load(null).func('recv', 'intptr_t', ['int', 'void *', 'size_t', 'int'])
  const [SOCK_DGRAM, MSG_DONTWAIT] = [2, 0x40]
  const fd = boundUnixSocket(path, SOCK_DGRAM)
  t.teardown(() => native.close(fd))
  return () => {
    const bytes = Buffer.alloc(65_536)
    const length = Number(receive(fd, bytes, bytes.length, MSG_DONTWAIT))
    return length < 0 ? null : bytes.toString('utf8', 0, length)
  }
}

/** Writes what the kernel takes at once, until the peer, which does not read, has room for no more. */
export async function overfill (socket: Socket, unacknowledged: () => number | null): Promise<void> {
  for (let i = 0; i < 200; i++) {
    await new Promise(resolve => socket.write(Buffer.alloc(50_000, 'x'), resolve))
    // Less may be acknowledged a moment later.
    if ((unacknowledged() ?? 0) > 200_000) return
  }
  throw new Error('the peer has acknowledged everything')
}
