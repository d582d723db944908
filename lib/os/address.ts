import { isIP, SocketAddress } from 'node:net'

/** The shortest text of an IP address; any other text stays as it is. */
export function canonical (address: string): string {
  return isIP(address) === 6 ? new SocketAddress({ address, family: 'ipv6' }).address : address
}

/** The text of an IP address of 4 or 16 bytes. */
export function addressText (bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  return canonical(Buffer.from(bytes).toString('hex').match(/.{4}/g)?.join(':') ?? '')
}
