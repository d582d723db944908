import dns from 'node:dns'
import { networkInterfaces } from 'node:os'

export function hasIPv6 (): boolean {
  return Object.values(networkInterfaces()).flat().some(local => local?.address === '::1')
}

/** `localhost` has an address of each family until teardown, whatever the hosts file of this machine says. */
export function nameBothAddresses (t: { teardown (fn: () => unknown): void }, delay = 0): void {
  const { lookup } = dns
  t.teardown(() => { dns.lookup = lookup })
  dns.lookup = ((name: string, ...rest: any[]) => {
    const done = rest.pop()
    if (name !== 'localhost') return lookup(name, ...rest as [dns.LookupOptions], done)
    const found = [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }]
    setTimeout(() => rest[0]?.all === true ? done(null, found) : done(null, '127.0.0.1', 4), delay)
  }) as typeof lookup
}
