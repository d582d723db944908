import { once } from 'node:events'
import { connect, type AddressInfo, type Server } from 'node:net'
import type { Clock } from '../clock.ts'
import { descriptorOf } from '../os/descriptor.ts'
import type { Native } from '../os/native.ts'
import { LISTEN, socketInode, SYN_RECV, tcpListenersLater } from '../os/proc.ts'
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
    const others = await membersBeside(server)
    if (others === 0) {
      await acceptUntilQuiet(server, env.clock)
      return stop()
    }
    try {
      await steerAway(server, others, env)
      await handshakesDone(server, env.clock)
      await emptyQueue(server, env, () => false)
    } catch (error) {
      if (server.listening) stopSteering(env.native, fdOf(server))
      throw error
    }
    stop()
  })
}

async function steerAway (server: Server, others: number, env: GroupEnv): Promise<void> {
  steerTo(env.native, fdOf(server), others)
  if (await getsOwnConnection(server, env)) steerToFirst(env.native, fdOf(server), others)
}

/** Whether a new connection to the group comes to this listener: the kernel does not tell in which slot it is. */
async function getsOwnConnection (server: Server, { sockets, clock }: GroupEnv): Promise<boolean> {
  const arrived = new Set<string>()
  const onConnection = ({ remoteAddress, remotePort }: Peer): void => {
    arrived.add(`${remoteAddress} ${remotePort}`)
  }
  const onDrop = (dropped: Peer = {}): void => onConnection(dropped)
  server.on('connection', onConnection)
  server.on('drop', onDrop)
  const { address, port } = server.address() as AddressInfo
  const probe = connect({ host: address, port })
  const cancel = clock.after(connectPatience, () => probe.destroy(new Error(`no connection to ${address} within ${connectPatience} ms`)))
  try {
    await once(probe, 'connect')
    const isMine = (): boolean => arrived.has(`${probe.localAddress} ${probe.localPort}`)
    await handshakesDone(server, clock)
    await emptyQueue(server, { sockets, clock }, isMine)
    return isMine()
  } finally {
    cancel()
    probe.on('error', () => {}).destroy()
    server.off('connection', onConnection)
    server.off('drop', onDrop)
  }
}

async function membersBeside (server: Server): Promise<number> {
  const inode = socketInode(fdOf(server))
  const listeners = (await tcpListenersLater()).filter(({ state }) => state === LISTEN)
  const own = listeners.find(line => line.inode === inode)
  if (own === undefined) throw new Error('/proc/net does not show this listener')
  return listeners.filter(({ address, port }) => address === own.address && port === own.port).length - 1
}

/** Resolves when the handshakes that are under way now are over: whose they are was decided with the first packet. */
async function handshakesDone (server: Server, clock: Clock): Promise<void> {
  const { port } = server.address() as AddressInfo
  const begun = async (): Promise<string[]> =>
    (await tcpListenersLater()).filter(line => line.state === SYN_RECV && line.port === port).map(({ remote }) => remote)
  const ends = clock.now() + handshakePatience
  let left = new Set(await begun())
  while (left.size > 0 && clock.now() < ends) {
    await new Promise<void>(resolve => clock.after(pause, resolve))
    left = new Set((await begun()).filter(remote => left.has(remote)))
  }
}

/** Resolves when nothing waits to be accepted, or `isEnough` says so. */
async function emptyQueue (server: Server, { sockets, clock }: Omit<GroupEnv, 'native'>, isEnough: () => boolean): Promise<void> {
  const ends = clock.now() + queuePatience
  while (clock.now() < ends) {
    await new Promise<void>(resolve => clock.turn(resolve))
    if (isEnough() || sockets.waiting(server) === 0) return
  }
  throw new Error(`connections that wait to be accepted have kept coming for ${queuePatience} ms`)
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
