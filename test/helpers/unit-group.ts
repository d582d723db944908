import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { bindShared } from '../../lib/os/reuse-port.ts'
import { native } from './unit-native.ts'

/** Servers that share a port, in the order in which they joined, and how many connections each of them gets of a visit. */
export async function group (t: { teardown (fn: () => unknown): void }, count: number, host = '127.0.0.1') {
  const got = new Array<number>(count).fill(0)
  const servers: Server[] = []
  let port = 0
  for (let i = 0; i < count; i++) {
    const server = createServer(socket => { got[i]!++; socket.end() })
    await once(server.listen({ fd: bindShared(native, host, port, false) as number }), 'listening')
    t.teardown(() => server.close())
    port = (server.address() as AddressInfo).port
    servers.push(server)
  }
  const visit = async (times: number): Promise<number[]> => {
    got.fill(0)
    await Promise.all(Array.from({ length: times }, () => once(connect(port, host).resume(), 'close')))
    return [...got]
  }
  return { servers, visit, port }
}
