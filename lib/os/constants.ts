/*
 * What the C headers of each platform say. Linux: include/uapi/asm-generic/socket.h, include/uapi/linux/tcp.h,
 * socket(7), tcp(7). Darwin and FreeBSD: sys/socket.h, netinet/tcp.h.
 */

export type OptionName =
  'SO_REUSEADDR' | 'SO_REUSEPORT' | 'SO_KEEPALIVE' | 'SO_LINGER' | 'SO_TYPE' | 'SO_ACCEPTCONN' |
  'SO_ATTACH_REUSEPORT_CBPF' | 'SO_DETACH_REUSEPORT_BPF' |
  'TCP_KEEPIDLE' | 'TCP_KEEPINTVL' | 'TCP_KEEPCNT' | 'TCP_USER_TIMEOUT' | 'TCP_INFO' | 'IPV6_V6ONLY'

export interface SocketOption { level: number, name: number }

export interface Platform {
  /** An option that is missing here does not exist on the platform. */
  options: Partial<Record<OptionName, SocketOption>>
  /** An accepted socket begins with the TCP options of its listener. */
  inherits: boolean
  /** The request of ioctl(2) that tells how many bytes the peer has not acknowledged. */
  unacknowledged: number | null
  /** MSG_DONTWAIT of send(2). */
  dontWait: number
  addressFamilies: { unix: number, inet: number, inet6: number }
}

const IPPROTO_TCP = 6
const IPPROTO_IPV6 = 41

function levels (solSocket: number, socket: Record<string, number>, tcp: Record<string, number>, ipv6Only: number): Platform['options'] {
  return Object.fromEntries([
    ...Object.entries(socket).map(([option, name]) => [option, { level: solSocket, name }]),
    ...Object.entries(tcp).map(([option, name]) => [option, { level: IPPROTO_TCP, name }]),
    ['IPV6_V6ONLY', { level: IPPROTO_IPV6, name: ipv6Only }]
  ])
}

const bsdSocket = { SO_REUSEADDR: 0x4, SO_REUSEPORT: 0x200, SO_KEEPALIVE: 0x8, SO_LINGER: 0x80, SO_TYPE: 0x1008, SO_ACCEPTCONN: 0x2 }

const linux: Platform = {
  options: levels(1, {
    SO_REUSEADDR: 2,
    SO_TYPE: 3,
    SO_KEEPALIVE: 9,
    SO_LINGER: 13,
    SO_REUSEPORT: 15,
    SO_ACCEPTCONN: 30,
    SO_ATTACH_REUSEPORT_CBPF: 51,
    SO_DETACH_REUSEPORT_BPF: 68
  }, { TCP_KEEPIDLE: 4, TCP_KEEPINTVL: 5, TCP_KEEPCNT: 6, TCP_INFO: 11, TCP_USER_TIMEOUT: 18 }, 26),
  inherits: true,
  unacknowledged: 0x5411, // SIOCOUTQ
  dontWait: 0x40,
  addressFamilies: { unix: 1, inet: 2, inet6: 10 }
}

const darwin: Platform = {
  options: levels(0xffff, bsdSocket, { TCP_KEEPIDLE: 0x10, TCP_KEEPINTVL: 0x101, TCP_KEEPCNT: 0x102 }, 27),
  inherits: false,
  unacknowledged: null,
  dontWait: 0x80,
  addressFamilies: { unix: 1, inet: 2, inet6: 30 }
}

const freebsd: Platform = {
  options: levels(0xffff, bsdSocket, { TCP_KEEPIDLE: 256, TCP_KEEPINTVL: 512, TCP_KEEPCNT: 1024 }, 27),
  inherits: false,
  unacknowledged: 0x40046677, // FIONWRITE
  dontWait: 0x80,
  addressFamilies: { unix: 1, inet: 2, inet6: 28 }
}

const platforms: Partial<Record<string, Platform>> = { linux, darwin, freebsd }

/** `null`: there is no table for it, so no socket option can be set here. */
export function platformOf (name: string, arch: string): Platform | null {
  // These have numbers of their own.
  if (arch.startsWith('mips')) return null
  const platform = platforms[name] ?? null
  return platform === linux && arch === 'ppc64' ? { ...linux, unacknowledged: 0x40047473 } : platform
}
