import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { rawClient, type RawClient } from './raw-client.ts'

/** A connection over 127.0.0.1: the server's end, which answers no FIN by itself, and a raw client. */
export async function socketPair (t: { teardown (fn: () => unknown): void }): Promise<{ socket: Socket, client: RawClient }> {
  const server = createServer({ allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connected = once(server, 'connection') as Promise<[Socket]>
  const client = await rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  const [socket] = await connected
  server.close()
  t.teardown(() => { socket.destroy() })
  return { socket, client }
}

/** Reads and throws away, as a socket's last reader does. */
export function discardAll (socket: Socket): void {
  socket.on('data', () => {})
}
