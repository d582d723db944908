import type { Line } from '../helpers/bad-network.ts'
import type { AppAt, Protocol } from './server.ts'

export const protocols: readonly Protocol[] = ['http', 'https', 'h2c', 'h2']

const ports: Record<Protocol, number> = { http: 3001, https: 3002, h2c: 3003, h2: 3004 }

/** One app of each protocol at the server's end of a line; nobody else uses the ports of a namespace. */
export function appsOn (line: Line, only: readonly Protocol[] = protocols): AppAt[] {
  return only.map(protocol => ({ protocol, host: line.server, port: ports[protocol] }))
}
