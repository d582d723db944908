import { once } from 'node:events'
import http, { type RequestListener, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { rawClient, type RawClient } from './raw-client.ts'

export interface HttpPair {
  server: Server
  /** The server's end of the connection. */
  socket: Socket
  client: RawClient
}

/** Node's HTTP/1.x server without the plugin, and one raw connection to it. */
export async function httpPair (
  t: { teardown (fn: () => unknown): void },
  listener: RequestListener = (_request, answer) => { answer.end('hello') },
  prepare: (server: Server) => void = () => {}
): Promise<HttpPair> {
  const server = http.createServer(listener)
  prepare(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connected = once(server, 'connection') as Promise<[Socket]>
  const client = await rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  const [socket] = await connected
  t.teardown(() => {
    socket.destroy()
    server.close()
  })
  return { server, socket, client }
}
