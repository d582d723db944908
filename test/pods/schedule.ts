import { random } from '../helpers/fuzz-random.ts'
import type { ProxyName } from '../interop/proxies/proxy.ts'

/** All in ms. */
export interface Scale {
  /** How long a proxy takes at most until it hears of an endpoint. */
  endpointDelay: number
  shutdownDelay: number
  /** terminationGracePeriodSeconds: when it is over, what is left gets SIGKILL. */
  gracePeriod: number
}

/** `real`: what is seen in clusters, with the plugin's own shutdownDelay. `small`: the same, for a test suite. */
export const scales = {
  small: { endpointDelay: 600, shutdownDelay: 2000, gracePeriod: 12_000 },
  real: { endpointDelay: 3000, shutdownDelay: 5000, gracePeriod: 30_000 }
} satisfies Record<string, Scale>

export const proxyNames: ProxyName[] = ['haproxy', 'nginx', 'caddy']

/** When one proxy hears of the new pod and of the end of the old one, in ms from the SIGTERM. */
export interface Delays { added: number, removed: number }

/** How one pod is replaced. */
export interface Schedule {
  seed: number
  /** Which of the pods has to go: its place in the list of those that serve. */
  leaves: number
  delays: Map<ProxyName, Delays>
  /** How long a request takes in the new pod at most, in ms. */
  work: number
}

export function scheduleOf (seed: number, replicas: number, { endpointDelay }: Scale): Schedule {
  const { int } = random(seed)
  return {
    seed,
    leaves: int(0, replicas - 1),
    delays: new Map(proxyNames.map(name => [name, { added: int(0, endpointDelay), removed: int(0, endpointDelay) }])),
    work: int(0, 150)
  }
}

/** Everybody hears of everything as late as possible. */
export function latest (schedule: Schedule, { endpointDelay }: Scale): Schedule {
  return { ...schedule, delays: new Map(proxyNames.map(name => [name, { added: endpointDelay, removed: endpointDelay }])) }
}
