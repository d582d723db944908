/** What is known of a proxy or load balancer. */
export interface Proxy {
  /** How long it keeps an idle connection to a server, by default, in ms. */
  idleTimeout: number
  /** How much longer the server keeps it, in ms. */
  margin: number
  /** Where that is documented. */
  source: string
}

export const proxies = {
  'aws-alb': { idleTimeout: 60_000, margin: 5000, source: 'https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html' }
} satisfies Record<string, Proxy>

export type Behind = keyof typeof proxies

/** The longest idle timeout for which the server can have a longer one, in ms. */
export const longestIdle = 24 * 3_600_000
