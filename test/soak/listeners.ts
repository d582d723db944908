import koffi from 'koffi'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'

/** A listening socket of 127.0.0.1 that this process holds, as systemd does, and does not accept from. */
export interface HeldListener { fd: number, port: number, close (): void }

// From fcntl.h.
const duplicateOnExec = 1030

export async function holdListener (): Promise<HeldListener> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  // Node has no public way to name the descriptor of a listening socket, nor to have one from which it does not accept.
  const { fd: accepting } = (server as unknown as { _handle: { fd: number } })._handle
  const fd: number = koffi.load(null).func('fcntl', 'int', ['int', 'int', '...'])(accepting, duplicateOnExec, 'int', 0)
  if (fd < 0) throw new Error('fcntl(F_DUPFD_CLOEXEC) has failed')
  await once(server.close(), 'close')
  return { fd, port, close: () => closeSync(fd) }
}
