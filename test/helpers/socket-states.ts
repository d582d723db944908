import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Host } from './netns.ts'

export interface SocketState {
  serverPort: number
  clientPort: number
  /** As ss names it: `ESTAB`, `FIN-WAIT-1`. */
  state: string
  /** What the peer has not acknowledged, in bytes, our FIN included. */
  sendQueue: number
  /** A process still has a descriptor of it. */
  owned: boolean
}

/** What ss shows of the connections to these ports of a server, on one side. */
export async function socketStates (ports: number[], side: 'server' | 'client', host?: Host): Promise<SocketState[]> {
  const [command = '', ...under] = [...host?.under ?? [], 'ss']
  const filter = ports.map(port => `${side === 'server' ? 'sport' : 'dport'} = :${port}`).join(' or ')
  const { stdout } = await promisify(execFile)(command, [...under, '-taneH', filter])
  return stdout.split('\n').filter(line => line !== '' && !line.startsWith('LISTEN')).map(line => {
    const [state = '', , sendQueue, local, remote] = line.split(/\s+/)
    const [localPort, remotePort] = [portOf(local), portOf(remote)]
    const [serverPort, clientPort] = side === 'server' ? [localPort, remotePort] : [remotePort, localPort]
    return { serverPort, clientPort, state, sendQueue: Number(sendQueue), owned: / ino:[1-9]/.test(line) }
  })
}

function portOf (address = ''): number {
  return Number(address.split(':').at(-1))
}
