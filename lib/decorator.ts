import type { Duplex } from 'node:stream'
import type { ConnectionCounts } from './connections.ts'
import type { UpgradeCloser } from './protocols/upgraded.ts'
import type { DrainPhase, DrainReport } from './report.ts'

/** What the plugin adds to the app, as `app.drain`. */
export interface FastifyDrain {
  readonly phase: DrainPhase
  /** Aborts as soon as a drain begins: what runs long listens to it, and comes to an end. */
  readonly signal: AbortSignal
  /** How many connections are in each state now. Each reading looks at every connection. */
  readonly connections: ConnectionCounts
  /** How many peers have vanished without a word since the app began; TCP keepalive finds them. */
  readonly lostPeers: number
  /** What the drain did; `null` until no connection is left. It is there when onClose hooks run. */
  readonly report: DrainReport | null
  /**
   * Begins a drain, and closes the app; resolves with the report when Fastify is closed.
   * Every call gets the same promise. The process does not end.
   */
  begin (reason?: string): Promise<DrainReport>
  /**
   * Starts a successor of this process, gives it listeners and connections, and ends this process. Resolves with the
   * successor's pid when it has taken over; rejects when there is none, and then everything is as before.
   * Every call gets the same promise as long as that goes on.
   */
  handover (): Promise<number>
  /**
   * Has `fn` called when the drain closes connections, so that it can say goodbye on this upgraded socket;
   * whatever is still open at the deadline is cut.
   */
  onUpgradeClose (socket: Duplex, fn: UpgradeCloser): void
}
