/**
 * `fastify-drain/cluster`: for the primary of node:cluster.
 */
import cluster, { type Worker } from 'node:cluster'
import { errors } from './errors.ts'
import { Replacement } from './handover/replacement.ts'

export interface ReplaceOptions {
  /** Added to the environment of the new worker, as by cluster.fork(). */
  env?: Record<string, unknown>
}

const running = new WeakMap<Worker, Replacement>()
/** How each worker came. */
const arrivals = new WeakMap<Worker, Replacement>()

/**
 * Starts a worker, has `old` give it its connections, and then leave; resolves with the new worker as soon as that serves.
 * `old` ends by itself when nothing is left of it, with exit code 0 if nothing was cut. Rejects when it goes on serving. The
 * app of both workers registers the plugin with `handover: true`.
 *
 * Every call for the same worker has the same outcome, until one has failed.
 * @throws FST_DRAIN_HANDOVER
 */
export async function replaceWorker (old: Worker, { env = {} }: ReplaceOptions = {}): Promise<Worker> {
  if (!cluster.isPrimary) throw new errors.Handover('this is not the primary of a cluster', 'call replaceWorker() where the workers are forked')
  const before = running.get(old)
  if (before !== undefined && !before.hasFailed) return before.successor
  const replacement = new Replacement(old, {
    arrived: arrivals.get(old)?.over ?? Promise.resolve(),
    fork: invitation => {
      const worker = cluster.fork({ ...env, ...invitation })
      arrivals.set(worker, replacement)
      return worker
    }
  })
  running.set(old, replacement)
  return replacement.successor
}
