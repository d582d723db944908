import type { ServerKind } from '../restart.ts'
import type { ProxyName } from './proxy.ts'

/** One way of using one proxy. */
export interface Variant {
  proxy: ProxyName
  title: string
  /** What the proxy speaks to the servers. */
  upstream: ServerKind
  /** On top of the proxy's defaults: configs.ts. */
  settings: string[]
}

/** Those for which retries are off lose whatever goes wrong once. */
export const variants: Variant[] = [
  { proxy: 'nginx', title: 'nginx', upstream: 'http', settings: [] },
  { proxy: 'nginx', title: 'nginx, proxy_next_upstream off', upstream: 'http', settings: ['proxy_next_upstream off;'] },
  { proxy: 'haproxy', title: 'HAProxy', upstream: 'http', settings: [] },
  { proxy: 'haproxy', title: 'HAProxy, retries 0, http-reuse always', upstream: 'http', settings: ['retries 0', 'http-reuse always'] },
  // Without http-no-delay HAProxy holds answers of HTTP/2 servers back for 200 ms.
  { proxy: 'haproxy', title: 'HAProxy, h2c to the servers', upstream: 'h2c', settings: ['retries 0', 'server proto h2', 'option http-no-delay'] },
  { proxy: 'caddy', title: 'Caddy', upstream: 'http', settings: [] },
  { proxy: 'caddy', title: 'Caddy, h2c to the servers', upstream: 'h2c', settings: ['transport http {\nversions h2c 2\n}'] }
]

/** TLS between the proxy and the servers: no notice can be sent to sessions of HTTP/2 there. */
export const secureVariants: Variant[] = [
  { proxy: 'nginx', title: 'nginx, TLS to the servers', upstream: 'h2', settings: [] },
  { proxy: 'haproxy', title: 'HAProxy, HTTP/2 over TLS to the servers', upstream: 'h2', settings: ['server ssl verify none alpn h2', 'option http-no-delay'] },
  { proxy: 'caddy', title: 'Caddy, HTTP/2 over TLS to the servers', upstream: 'h2', settings: ['transport http {\ntls_insecure_skip_verify\n}'] }
]
