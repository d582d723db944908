import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { addressText } from './address.ts'
import { isLittleEndian } from './native.ts'

/** A socket in /proc/net/tcp or /proc/net/tcp6, see proc(5). */
export interface TcpSocket {
  address: string
  port: number
  /** The peer, as the kernel writes it. */
  remote: string
  state: string
  inode: string
}

export const LISTEN = '0A'
export const SYN_RECV = '03'

const tables = ['/proc/net/tcp', '/proc/net/tcp6']

/**
 * The TCP sockets of this network namespace that listen, and the handshakes under way there. Where the kernel does not
 * have a family its sockets are missing.
 */
export function tcpListeners (): TcpSocket[] {
  return tables.flatMap(path => {
    try { return parse(readFileSync(path, 'latin1')) } catch (error) { return noneOr(error) }
  })
}

/** The same, without keeping the event loop waiting: with many connections the kernel takes its time. */
export async function tcpListenersLater (): Promise<TcpSocket[]> {
  const tcpSockets = await Promise.all(tables.map(path => readFile(path, 'latin1').then(parse, noneOr)))
  return tcpSockets.flat()
}

function noneOr (error: unknown): TcpSocket[] {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
  throw error
}

// There can be many thousands of lines; few are of interest.
const line = /^ *\d+: ([\dA-F]+):([\dA-F]{4}) ([\dA-F:]+) (0A|03) \S+ \S+ \S+ +\d+ +\d+ (\d+)/gm

function parse (text: string): TcpSocket[] {
  return [...text.matchAll(line)].map(([, address = '', port = '', remote = '', state = '', inode = '']) => ({
    address: addressOf(address), port: parseInt(port, 16), remote, state, inode
  }))
}

// 32-bit words in the byte order of the machine.
function addressOf (hex: string): string {
  const bytes = Buffer.from(hex, 'hex')
  if (isLittleEndian) bytes.swap32()
  return addressText(bytes)
}

/** The path of an open Unix socket that listens; `null`: there is none with this inode. */
export function unixListener (inode: string): string | null {
  for (const line of readFileSync('/proc/net/unix', 'utf8').trimEnd().split('\n').slice(1)) {
    const [, , , flags = '', type, , found, ...path] = line.trim().split(/\s+/)
    // __SO_ACCEPTCON, SOCK_STREAM
    if (found === inode && (parseInt(flags, 16) & 0x10000) !== 0 && type === '0001') return path.join(' ')
  }
  return null
}

/** The inode of the socket behind a descriptor of this process; `null`: it is no socket. */
export function socketInode (fd: number): string | null {
  return inodeOf(`/proc/self/fd/${fd}`)
}

function inodeOf (link: string): string | null {
  return /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1] ?? null
}

/** Who has this socket open: the first process that may be looked at. */
export function ownerOf (inodes: Set<string>): { pid: number, command: string } | null {
  for (const pid of readdirSync('/proc')) {
    if (/^\d+$/.test(pid) && holds(pid, inodes)) return { pid: Number(pid), command: commandOf(pid) }
  }
  return null
}

// Processes of others may not be looked at, and processes end.
function holds (pid: string, inodes: Set<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some(fd => {
      try { return inodes.has(inodeOf(`/proc/${pid}/fd/${fd}`) ?? '') } catch { return false }
    })
  } catch {
    return false
  }
}

function commandOf (pid: string): string {
  try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() } catch { return '' }
}
