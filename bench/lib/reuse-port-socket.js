import { constants } from 'node:os'

// <asm-generic/socket.h>, <bits/socket.h>
const AF_INET = 2
const SOCK_STREAM = 1
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_REUSEPORT = 15

// Where net.Server.listen() has the option `reusePort`.
const hasReusePort = ([major, minor]) => major > 22 || (major === 22 && minor >= 12)

/**
 * Lets an app listen with SO_REUSEPORT, and with nothing else: as Node does it, and before Node 22.12 on a
 * socket that is made here.
 */
export async function listenWithReusePort (app, { host, port }) {
  if (hasReusePort(process.versions.node.split('.').map(Number))) return app.listen({ host, port, reusePort: true })
  return app.listen({ fd: await bindWithReusePort(host, port), host })
}

async function bindWithReusePort (host, port) {
  const { default: koffi } = await import('koffi')
  const libc = koffi.load(null)
  const socket = libc.func('int socket(int domain, int type, int protocol)')
  const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)')
  const bind = libc.func('int bind(int fd, const void *address, uint32_t length)')

  const fd = check('socket', socket(AF_INET, SOCK_STREAM, 0))
  const on = new Uint8Array(new Int32Array([1]).buffer)
  for (const option of [SO_REUSEADDR, SO_REUSEPORT]) check('setsockopt', setsockopt(fd, SOL_SOCKET, option, on, on.length))

  const address = new DataView(new ArrayBuffer(16))
  address.setUint16(0, AF_INET, true)
  address.setUint16(2, port)
  host.split('.').forEach((byte, i) => address.setUint8(4 + i, Number(byte)))
  check('bind', bind(fd, new Uint8Array(address.buffer), address.byteLength))
  return fd

  function check (call, result) {
    if (result >= 0) return result
    const errno = koffi.errno()
    const name = Object.keys(constants.errno).find(key => constants.errno[key] === errno)
    throw new Error(`${call} failed: ${name ?? errno}`)
  }
}
