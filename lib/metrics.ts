import type { FastifyInstance } from 'fastify'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ConnectionOutcome, ConnectionState } from './connection.ts'
import type { FastifyDrain } from './decorator.ts'
import { channelNames, type ConnectionCloseMessage, type ReportMessage } from './diagnostics.ts'
import { errors } from './errors.ts'
import type { DrainPhase, DrainReport } from './report.ts'

/*
 * What all kinds of metrics have in common. They count closes and drains, and read everything else when they are collected:
 * a request costs them nothing.
 */

export const states: ReadonlyArray<Exclude<ConnectionState, 'closed'>> = ['new', 'active', 'idle', 'upgraded', 'lingering']
export const phases: readonly DrainPhase[] = ['serving', 'lame-duck', 'draining', 'aborting', 'closed']
export const outcomes: readonly ConnectionOutcome[] = ['peer-closed', 'half-closed', 'timed-out', 'cut', 'handed-over', 'peer-lost', 'destroyed']

/** Upper bounds of how long a drain takes, in seconds. */
export const durations = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 25, 30, 60, 120]

/** What is read when metrics are collected. */
export type Readings = Pick<FastifyDrain, 'phase' | 'connections' | 'lostPeers'>

export interface Counters {
  connectionClosed (message: ConnectionCloseMessage): void
  drained (report: DrainReport): void
}

/** @throws FST_DRAIN_NOT_REGISTERED */
export function drainOf (app: FastifyInstance, subpath: string): FastifyDrain {
  if (!app.hasDecorator('drain')) throw new errors.NotRegistered(subpath)
  return app.drain
}

/** Counts what happens to this drain; the returned function ends that. */
export function count (drain: FastifyDrain, { connectionClosed, drained }: Counters): () => void {
  const onClose = (message: unknown): void => {
    if (isOf(drain, message)) connectionClosed(message as ConnectionCloseMessage)
  }
  const onReport = (message: unknown): void => {
    if (isOf(drain, message)) drained((message as ReportMessage).report)
  }
  subscribe(channelNames.close, onClose)
  subscribe(channelNames.report, onReport)
  return () => {
    unsubscribe(channelNames.close, onClose)
    unsubscribe(channelNames.report, onReport)
  }
}

// All apps of a process publish on the same channels.
function isOf (drain: FastifyDrain, message: unknown): boolean {
  return (message as ReportMessage).drain === drain
}

/**
 * A package that the user has installed, or not.
 * @throws FST_DRAIN_MISSING_PEER
 */
export async function loadPeer <T> (subpath: string, name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (error) {
    throw new errors.MissingPeer(subpath, (error as Error).message.split('\n', 1)[0] as string, name)
  }
}
