import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { addressText } from './address.ts'
import { isLittleEndian } from './native.ts'

/** A listener in /proc/net/tcp or /proc/net/tcp6, see proc(5) and Documentation/networking/proc_net_tcp.rst of Linux. */
export interface TcpListener {
  address: string
  port: number
  inode: string
  /** One, and one more for every handshake that has begun there and is half done, or done and not accepted yet. */
  references: number
}

const tables = { ipv4: '/proc/net/tcp', ipv6: '/proc/net/tcp6' }

/** The TCP listeners of this network namespace. Where the kernel does not have a family its listeners are missing. */
export function tcpListeners (): TcpListener[] {
  return Object.values(tables).flatMap(path => {
    try { return parse(head(path)) } catch (error) { return noneOr(error) }
  })
}

/** Those of the family of this address. */
export function tcpListenersLike (address: string): TcpListener[] {
  return parse(head(isIPv6(address) ? tables.ipv6 : tables.ipv4))
}

function noneOr (error: unknown): TcpListener[] {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
  throw error
}

/*
 * Listeners come first. What follows them can be long, each line costs the kernel its time, and they are written while
 * they are read: so reading ends early.
 */
function head (path: string): string {
  const fd = openSync(path, 'r')
  try {
    const chunk = Buffer.alloc(16384)
    let text = ''
    while (!connection.test(text)) {
      const length = readSync(fd, chunk)
      if (length === 0) break
      text += chunk.toString('latin1', 0, length)
    }
    return text
  } finally {
    closeSync(fd)
  }
}

// The state of a listener is 0A.
const connection = /^ *\d+: \S+ \S+ (?!0A)[\dA-F]{2} /m
const listener = /^ *\d+: ([\dA-F]+):([\dA-F]{4}) \S+ 0A \S+ \S+ \S+ +\d+ +\d+ (\d+) (\d+) /gm

function parse (text: string): TcpListener[] {
  return [...text.matchAll(listener)].map(([, address = '', port = '', inode = '', references = '']) => ({
    address: addressOf(address), port: parseInt(port, 16), inode, references: Number(references)
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
  for (const [, flags = '', type, found, path = ''] of readFileSync('/proc/net/unix', 'utf8').matchAll(unixSocket)) {
    // __SO_ACCEPTCON, SOCK_STREAM
    if (found === inode && (parseInt(flags, 16) & 0x10000) !== 0 && type === '0001') return unixPath(path)
  }
  return null
}

// Number, reference count, protocol, flags, type, state, inode, path.
const unixSocket = /^\S+ \S+ \S+ (\S+) (\S+) \S+ +(\d+) (.+)$/gm

// A name without a file is written with @ for every NUL.
function unixPath (path: string): string {
  return path.startsWith('@') ? `\0${path.slice(1).replace(/@+$/, '')}` : path
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

// Without its arguments: some have secrets in them, and errors are logged.
function commandOf (pid: string): string {
  try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0.*$/s, '') } catch { return '' }
}

/** The arguments that a process was started with, its program first; none where nobody says. For looking at, not for logs. */
export function argumentsOf (pid: number): string[] {
  try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '').split('\0') } catch { return [] }
}

/** Who has started a process; `null`: nobody that can be seen from here. */
export function parentOf (pid: number): number | null {
  try {
    const [, parent = '0'] = /.*\) \S (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    return parent === '0' ? null : Number(parent)
  } catch {
    return null
  }
}

/** The name of a process, of at most 15 characters; `null`: nobody says. */
export function nameOf (pid: number): string | null {
  try { return readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd() } catch { return null }
}
