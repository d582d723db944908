import type { HttpServer } from './server.ts'

/** What is known of a proxy or load balancer. */
export interface Proxy {
  /** How long it keeps an idle connection to a server, by default, in ms. */
  idleTimeout: number
  /** How much longer the server keeps it, in ms. */
  margin: number
  /** Where that is documented. */
  source: string
}

// The clocks of two machines, a long round trip, a busy event loop: five seconds are enough for all of them.
const margin = 5000

export const proxies = {
  'aws-alb': { idleTimeout: 60_000, margin, source: 'https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html' },
  'aws-nlb': { idleTimeout: 350_000, margin, source: 'https://aws.amazon.com/blogs/networking-and-content-delivery/introducing-nlb-tcp-configurable-idle-timeout/' },
  // Google's own example for a server has 620 s.
  gcp: { idleTimeout: 600_000, margin: 20_000, source: 'https://cloud.google.com/load-balancing/docs/https/request-distribution' },
  // Load Balancer; those of Application Gateway (75 and 120 s) are shorter.
  azure: { idleTimeout: 240_000, margin, source: 'https://learn.microsoft.com/en-us/azure/load-balancer/load-balancer-tcp-idle-timeout' },
  nginx: { idleTimeout: 60_000, margin, source: 'https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive_timeout' },
  envoy: { idleTimeout: 3_600_000, margin, source: 'https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/timeouts' },
  cloudflare: { idleTimeout: 900_000, margin, source: 'https://developers.cloudflare.com/fundamentals/reference/connection-limits/' },
  cloudfront: { idleTimeout: 5000, margin, source: 'https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CustomOriginConfig.html' },
  // "Not less than 310 seconds", says Oracle.
  oracle: { idleTimeout: 300_000, margin: 10_000, source: 'https://docs.oracle.com/en-us/iaas/Content/Balance/Reference/connectionreuse.htm' }
} satisfies Record<string, Proxy>

export type Behind = keyof typeof proxies

/** The longest idle timeout for which the server can have a longer one, in ms. */
export const longestIdle = 24 * 3_600_000

// Node waits this much longer than it says to the client: always on Node 20, by default where it is a setting.
const buffer = 1000

/** What Fastify has been told, or has by default, in ms. */
export interface OwnTimeouts {
  keepAliveTimeout: number
  http2SessionTimeout: number
}

/** What a timeout is where nobody has said anything: of Fastify 5, and of Node, which has the say where Fastify sets none. */
export const defaults = {
  fastify: { keepAliveTimeout: 72_000, http2SessionTimeout: 72_000 },
  node: { keepAliveTimeout: [5000, undefined], headersTimeout: [60_000], requestTimeout: [300_000] }
} as const

interface Contradiction {
  name: string
  own: number
  needed: number
}

/** Has the servers of an app keep idle connections for longer than the proxy in front does, so that it is never they that close. */
export class KeepAliveBehind {
  readonly idleTimeout: number
  /** What it takes, in ms. */
  readonly needed: number
  readonly #behind: Behind | number
  readonly #own: OwnTimeouts
  readonly #contradictions = new Map<string, Contradiction>()
  readonly #withSessions = new WeakSet<HttpServer>()

  constructor (behind: Behind | number, own: OwnTimeouts) {
    const { idleTimeout, margin: more } = typeof behind === 'number' ? { idleTimeout: behind, margin } : proxies[behind]
    this.idleTimeout = idleTimeout
    this.needed = idleTimeout + more
    this.#behind = behind
    this.#own = own
  }

  /** Sets the timeouts of a server, once it is made, and again when it listens: what came meanwhile is seen then. */
  apply (server: HttpServer): void {
    if ('headersTimeout' in server) this.#applyHttp1(server)
    if (isHttp2(server)) this.#applySessions(server)
  }

  #applyHttp1 (server: HttpServer): void {
    const keepAlive = this.#keepAlive(server)
    if (keepAlive !== undefined) server.keepAliveTimeout = keepAlive
    if (server.keepAliveTimeoutBuffer !== undefined) server.keepAliveTimeoutBuffer = Math.max(buffer, server.keepAliveTimeoutBuffer)
    // A connection that the proxy opens in advance is idle before its first head, too: then these two are what ends it.
    const idle = Math.max(this.needed, server.keepAliveTimeout ?? 0) + (server.keepAliveTimeoutBuffer ?? buffer)
    server.headersTimeout = this.#atLeast(idle + buffer, 'headersTimeout', server.headersTimeout, defaults.node.headersTimeout)
    // The shorter one of them is what Node takes for headersTimeout.
    server.requestTimeout = this.#atLeast(server.headersTimeout + buffer, 'requestTimeout', server.requestTimeout, isHttp2(server) ? defaults.node.requestTimeout : [])
  }

  #keepAlive (server: HttpServer): number | undefined {
    const { keepAliveTimeout: own, timeout = 0 } = server
    // Without keepAliveTimeout it is connectionTimeout that ends an idle connection.
    if (own === 0 && timeout > 0) return timeout >= this.needed ? own : this.#atLeast(this.needed, 'connectionTimeout', timeout, [])
    if (isHttp2(server) ? isOneOf(defaults.node.keepAliveTimeout, own) : own === defaults.fastify.keepAliveTimeout) return this.needed
    return this.#atLeast(this.needed, 'keepAliveTimeout', own, [])
  }

  #applySessions (server: HttpServer): void {
    if (this.#withSessions.has(server)) return
    this.#withSessions.add(server)
    const timeout = this.#atLeast(this.needed, 'http2SessionTimeout', this.#own.http2SessionTimeout, [defaults.fastify.http2SessionTimeout])
    // Fastify has set its own just before; what happens then stays its business.
    if (timeout !== this.#own.http2SessionTimeout) server.on('session', session => session.setTimeout(timeout))
  }

  // Zero is for ever.
  #atLeast (needed: number, name: string, own: number | undefined, byDefault: readonly unknown[]): number {
    if (own === 0 || (own !== undefined && own >= needed)) return own
    if (own !== undefined && !isOneOf(byDefault, own)) this.#contradictions.set(name, { name, own, needed })
    return needed
  }

  /** How the settings of the app contradict, and what to do; `null`: they do not. */
  contradiction (): string | null {
    const all = [...this.#contradictions.values()]
    if (all.length === 0) return null
    const name = typeof this.#behind === 'number' ? this.#behind : `'${this.#behind}'`
    return `behind ${name} idle connections have to be kept longer than ${this.idleTimeout} ms, but ` +
      `${all.map(({ name, own }) => `${name} is ${own} ms`).join(', ')}: ` +
      `${all.map(({ name, needed }) => `${name === 'connectionTimeout' ? 'keepAliveTimeout' : name} is ${needed} ms now`).join(', ')}; ` +
      `leave ${all.map(({ name }) => name).join(', ')} out of the options of Fastify, or set at least these values`
  }
}

function isHttp2 (server: HttpServer): boolean {
  return 'updateSettings' in server
}

function isOneOf (values: readonly unknown[], value: unknown): boolean {
  return values.includes(value)
}
