import { isIP } from 'node:net'
import type { Luggage } from '../connection.ts'
import { ownVariables } from '../environment.ts'
import { errors } from '../errors.ts'
import { canonical } from '../os/address.ts'
import type { Handle } from '../os/handle.ts'
import { listenerOf, type ListenerAddress } from '../os/inherited.ts'
import type { Native } from '../os/native.ts'

/** A listening socket that this process was started with. */
export interface Inherited {
  fd: number
  /** From LISTEN_FDNAMES; '' without. */
  name: string
  at: ListenerAddress
  /** An app of this process listens on it. */
  taken: boolean
  /** It is in the log that no app does. */
  told?: boolean
  /** The process that this one succeeds has passed it. */
  isPassed?: boolean
  /** It is the primary's: there is no descriptor, only the connections that came to the other worker. */
  ofPrimary?: boolean
  /** It serves whoever asks for port 0. */
  anyPort?: boolean
  /** Gives the app that listens on it a connection that somebody else has accepted. */
  receive?: (handle: Handle, luggage: Luggage) => void
}

/** A listening socket that a successor gets as an open descriptor; `fd`: which one. */
export interface PassedListener {
  fd: number
  /** The one under which the service manager had passed it; '' without. */
  name: string
  /** The app has asked for port 0. */
  anyPort: boolean
  /** Between two workers of node:cluster, which get no descriptors: where it listens. `fd` is a mere number then. */
  at?: ListenerAddress
}

/** What app.listen() asks for. */
export interface Wanted {
  host?: string | undefined
  port?: number | string | undefined
  path?: string | undefined
}

/** The apps of a process begin to listen one after the other, in ms. */
export const otherAppsPatience = 1000

// The first one by the protocol of sd_listen_fds(3).
const firstDescriptor = 3

/*
 * The apps of a process, and the copies of this package, share its descriptors: they meet at a symbol of the global
 * registry.
 */
const meetingPoint = Symbol.for('fastify-drain.inherited.v1')

type Host = typeof process & { [meetingPoint]?: Inherited[] }

/**
 * The listening sockets that this process was started with, by the one that it succeeds or by the service manager.
 * @throws FST_DRAIN_INHERITED
 */
export function inheritedListeners (host: Host, native: Native | null, passed: readonly PassedListener[] | null = null): Inherited[] {
  host[meetingPoint] ??= passed === null ? read(host, native) : passed.map(one => received(one, native))
  return host[meetingPoint]
}

function received ({ at, ...one }: PassedListener, native: Native | null): Inherited {
  if (at !== undefined) return { ...one, at, isPassed: true, ofPrimary: true, taken: false }
  return listener({ ...one, isPassed: true }, 'was passed in a handover, and', native)
}

/** Why LISTEN_FDS does not count; `null`: it does, or is not there. */
export function whyIgnored ({ env, pid }: Pick<Host, 'env' | 'pid'>): string | null {
  const { LISTEN_FDS: count, LISTEN_PID: receiver } = ownVariables(env)
  if (count === undefined || receiver === String(pid)) return null
  return receiver === undefined
    ? 'LISTEN_FDS is set and LISTEN_PID is not: the inherited sockets are left alone'
    : `the sockets of LISTEN_FDS are for process ${receiver}, this is ${pid}: they are left alone; start node itself, not a shell or npm`
}

function read (host: Host, native: Native | null): Inherited[] {
  const { LISTEN_FDS: given, LISTEN_PID: receiver, LISTEN_FDNAMES: givenNames } = ownVariables(host.env)
  if (given === undefined || (receiver !== undefined && receiver !== String(host.pid))) return []
  const count = /^\d{1,4}$/.test(given) ? Number(given) : NaN
  if (Number.isNaN(count)) throw new errors.Inherited(`LISTEN_FDS is '${given}'`, 'it must be the number of sockets passed, see sd_listen_fds(3)')
  if (receiver === undefined) return []

  const names = givenNames === undefined ? new Array<string>(count).fill('') : givenNames.split(':')
  if (names.length !== count) {
    throw new errors.Inherited(`LISTEN_FDS is ${count} and LISTEN_FDNAMES has ${names.length} names`, 'it must have one for each socket, with colons between')
  }
  return names.map((name, i) => listener({ fd: firstDescriptor + i, name }, 'of LISTEN_FDS', native))
}

function listener (known: Omit<Inherited, 'at' | 'taken'>, origin: string, native: Native | null): Inherited {
  const at = listenerOf(known.fd, native)
  if (typeof at === 'string') {
    throw new errors.Inherited(`descriptor ${known.fd} ${origin} ${at}`, 'pass listening TCP or Unix stream sockets only (ListenStream= with Accept=no)')
  }
  return { ...known, at, taken: false }
}

/**
 * The one that serves what app.listen() asks for; `null`: none. By name where one is given, else by address, of which one
 * that listens on every address is a part unless it shall be exactly that one.
 */
export function adopt (inherited: Inherited[], wanted: Wanted, name: string | false, orWider: boolean): Inherited | null {
  const free = inherited.filter(one => !one.taken && (name === false || one.name === name))
  const wider = name === false ? free.find(({ at }) => covers(at, wanted)) : free[0]
  const found = free.find(({ at, anyPort }) => isSame(at, anyPort === true && Number(wanted.port) === 0 && 'port' in at ? { ...wanted, port: at.port } : wanted)) ?? (orWider ? wider : undefined) ?? null
  if (found !== null) found.taken = true
  return found
}

function isSame (at: ListenerAddress, { host = '', port, path }: Wanted): boolean {
  if ('path' in at) return at.path === path
  if (path !== undefined || at.port !== Number(port)) return false
  return host === 'localhost' ? isLoopback(at.address) : at.address === canonical(host)
}

// A socket unit with a port alone listens on every address.
function covers (at: ListenerAddress, { host = '', port, path }: Wanted): boolean {
  if ('path' in at || path !== undefined || at.port !== Number(port)) return false
  if (at.address === '::') return isIP(host) !== 4 || at.ipv6Only !== true
  return at.address === '0.0.0.0' && isIP(host) !== 6
}

function isLoopback (address: string): boolean {
  return ['127.0.0.1', '::1'].includes(address)
}

/** An address for people. */
export function addressInWords (at: ListenerAddress): string {
  // As ss and /proc write names without a file.
  if ('path' in at) return at.path.replace(/^\0/, '@')
  return `${isIP(at.address) === 6 ? `[${at.address}]` : at.address}:${at.port}`
}
