import type { FastifyDrainOptions } from '../../index.ts'

export interface Strike {
  side: 'predecessor' | 'successor'
  /**
   * `start`, `loaded`, `listens`, `leaves` (the drain begins), `spawn` (the predecessor has started the successor), or what is
   * said on the channel, such as `sends hello` and `hears hello`.
   */
  at: string
  /** How often that must have happened; 1 without. */
  nth?: number
  /** A signal that the process sends to itself, or something that it does. */
  action: NodeJS.Signals | 'close' | 'begin' | 'handover' | 'disconnect' | 'exit' | 'garbage' | 'chatter'
  /** How much later, in ms; at once without. */
  after?: number
}

/** What each version of the service in test/fixtures/handover-faulty.ts reads when it starts. */
export interface Plan {
  /** What the successor does wrong by itself. */
  fault?: string
  strikes?: Strike[]
  options?: FastifyDrainOptions
  readyTimeout?: number
  /** One app listens on each. */
  apps?: Array<{ host?: string, port?: number, path?: string, tls?: boolean }>
  inUse?: number
  /** The working directory. */
  folder?: string
}

/** A plan with one strike. */
export function strike (side: Strike['side'], at: string, action: Strike['action'], nth = 1): Plan {
  return { strikes: [{ side, at, action, nth }] }
}
