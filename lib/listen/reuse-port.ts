import { once } from 'node:events'
import { connect, type AddressInfo, type Server } from 'node:net'
import type { Clock } from '../clock.ts'
import { descriptorOf } from '../os/descriptor.ts'
import type { Native } from '../os/native.ts'
import { socketInode, tcpListenersLike, type TcpListener } from '../os/proc.ts'
import { steerTo, steerToFirst, stopSteering } from '../os/reuse-port.ts'
import type { Sockets } from '../os/sockets.ts'
import { takeName } from '../os/unix.ts'
import { acceptUntilQuiet } from './leave-listener.ts'

/*
 * Listeners that share a port by SO_REUSEPORT are a group in the kernel, which hands each new connection to one of them;
 * a listener that closes takes its accept queue with it. So whoever leaves first sends new connections elsewhere. The
 * program that does so belongs to the whole group and outlives the leaver, in whose slot the last member of the group
 * comes to be. Therefore everything is sent to the last slot: after the close it does not exist any more, and the kernel's
 * hash decides again. A leaver that has the last slot itself sends to all the others, and that stays right until somebody
 * joins; whoever joins detaches the program.
 */

export interface GroupEnv {
  native: Native
  sockets: Sockets
  clock: Clock
}

interface Peer { remoteAddress?: string | undefined, remotePort?: number | undefined }

// In ms. A handshake takes a round trip, or a second more when a packet was lost.
const handshakePatience = 1500
const connectPatience = 1500
const queuePatience = 5000
const lockPatience = 10_000
const pause = 10

/** Takes part in the group that this listener has just joined: nobody steers connections away from it. */
export async function joinGroup (server: Server, env: GroupEnv): Promise<void> {
  await withLock(server, env, () => stopSteering(env.native, fdOf(server)))
}

/** Sends new connections to the other members of the group, takes what has come here, and stops listening. */
export async function leaveGroup (server: Server, stop: () => void, env: GroupEnv): Promise<void> {
  await withLock(server, env, async () => {
    const others = membersBeside(server)
    if (others === 0) {
      await acceptUntilQuiet(server, env.clock)
      return stop()
    }
    try {
      await emptied(server, await steerAway(server, others, env), env)
    } catch (error) {
      if (server.listening) stopSteering(env.native, fdOf(server))
      throw error
    }
    stop()
  })
}

/** Resolves with the time since when nobody new comes. */
async function steerAway (server: Server, others: number, env: GroupEnv): Promise<number> {
  const { native, clock } = env
  const since = clock.now()
  steerTo(native, fdOf(server), others)
  if (!await getsOwnConnection(server, env)) return since
  steerToFirst(native, fdOf(server), others)
  return clock.now()
}

/** Whether a new connection to the group comes to this listener: the kernel does not tell in which slot it is. */
async function getsOwnConnection (server: Server, { clock }: GroupEnv): Promise<boolean> {
  const { port } = server.address() as AddressInfo
  const host = ownAddress(server)
  const arrived = new Set<string>()
  const onConnection = ({ remoteAddress, remotePort }: Peer): void => {
    arrived.add(`${remoteAddress} ${remotePort}`)
  }
  const onDrop = (dropped: Peer = {}): void => onConnection(dropped)
  server.on('connection', onConnection)
  server.on('drop', onDrop)
  const probe = connect({ host, port })
  // Whoever accepts it may reset it while we wait.
  probe.on('error', () => {})
  const cancel = clock.after(connectPatience, () => probe.destroy(new Error(`no connection to ${host} within ${connectPatience} ms`)))
  try {
    await once(probe, 'connect')
    cancel()
    // A probe that is dropped forgets its address.
    const own = `${probe.localAddress} ${probe.localPort}`
    const isMine = (): boolean => arrived.has(own)
    // From its first packet until it is accepted the probe is pending at the listener that it has come to.
    const ends = clock.now() + handshakePatience
    do await new Promise<void>(resolve => clock.after(pause, resolve))
    while (!isMine() && pending(server) > 0 && clock.now() < ends)
    return isMine()
  } finally {
    cancel()
    probe.destroy()
    server.off('connection', onConnection)
    server.off('drop', onDrop)
  }
}

/** An address at which nobody but this group is reached: a listener on that very address comes before one on all. */
function ownAddress (server: Server): string {
  const { address, port } = server.address() as AddressInfo
  const candidates = address === '0.0.0.0' ? ['127.0.0.1', '127.0.0.2', '127.0.0.3'] : address === '::' ? ['::1'] : [address]
  const taken = listenersLike(server).all.filter(line => line.port === port && line.address !== address)
  const free = candidates.find(candidate => !taken.some(line => line.address === candidate))
  if (free === undefined) throw new Error(`somebody else listens on port ${port} of ${candidates.join(', ')}`)
  return free
}

/** Resolves when nobody is left whose handshake has begun here: whose it is was decided with the first packet. */
async function emptied (server: Server, since: number, { sockets, clock }: GroupEnv): Promise<void> {
  do {
    // Another processor may have been handling a first packet while the program was attached.
    await new Promise<void>(resolve => clock.after(pause, resolve))
    if (pending(server) === 0) return
    if (clock.now() - since > queuePatience) throw new Error(`connections that wait to be accepted have kept coming for ${queuePatience} ms`)
  } while (clock.now() - since < handshakePatience || sockets.waiting(server) !== 0)
}

function membersBeside (server: Server): number {
  const { own, all } = listenersLike(server)
  return all.filter(({ address, port }) => address === own.address && port === own.port).length - 1
}

/** How many handshakes have begun at this listener that are half done, or done and not accepted yet. */
function pending (server: Server): number {
  return listenersLike(server).own.references - 1
}

function listenersLike (server: Server): { own: TcpListener, all: TcpListener[] } {
  const inode = socketInode(fdOf(server))
  const all = tcpListenersLike((server.address() as AddressInfo).address)
  const own = all.find(line => line.inode === inode)
  if (own === undefined) throw new Error('the listener is not in /proc/net')
  return { own, all }
}

/** One member at a time: programs and slots belong to all. The lock ends with the process that holds it. */
async function withLock (server: Server, { native, clock }: GroupEnv, work: () => unknown): Promise<void> {
  const { address, port } = server.address() as AddressInfo
  const take = (): (() => void) | null => takeName(native, `fastify-drain/reuse-port/${address}:${port}`)
  const ends = clock.now() + lockPatience
  let release = take()
  while (release === null && server.listening) {
    if (clock.now() >= ends) throw new Error(`another member of the group has been leaving or joining for ${lockPatience} ms`)
    await new Promise<void>(resolve => clock.after(pause, resolve))
    release = take()
  }
  try {
    await work()
  } finally {
    release?.()
  }
}

function fdOf (server: Server): number {
  const fd = descriptorOf(server)
  if (fd === null) throw new Error('the listener was closed meanwhile')
  return fd
}
