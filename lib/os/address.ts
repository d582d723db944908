import { isIP, SocketAddress, type AddressInfo, type Server } from 'node:net'

/** The shortest text of an IP address; any other text stays as it is. */
export function canonical (address: string): string {
  return isIP(address) === 6 ? new SocketAddress({ address, family: 'ipv6' }).address : address
}

/** The text of an IP address of 4 or 16 bytes. */
export function addressText (bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  return canonical(Buffer.from(bytes).toString('hex').replace(/....(?!$)/g, '$&:'))
}

/** Where a server listens, which it must. */
export function addressOf (server: Server): { address: string, port: number } | { path: string } {
  const at = server.address() as AddressInfo | string
  return typeof at === 'string' ? { path: at } : { address: canonical(at.address), port: at.port }
}

/** Where a server listens; `null`: not on TCP. */
export function tcpAddressOf (server: Server): AddressInfo | null {
  const address = server.address()
  return typeof address === 'string' ? null : address
}
