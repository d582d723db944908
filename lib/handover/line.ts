import type { SendHandle } from 'node:child_process'
import { EventEmitter } from 'node:events'
import type { PassedListener } from '../listen/inherited.ts'

/*
 * Two workers of node:cluster have no channel to each other: their primary passes on what they say. What is for it alone,
 * or comes from it, has an envelope of its own.
 */

/** From a worker. */
export type ToPrimary =
  /** A worker that takes over from this one shall be started. It will be told of these listeners. */
  { type: 'start', listeners: PassedListener[], readyTimeout: number } |
  /** That one shall end, if it does not already, and be killed if that has not happened after `patience` ms. */
  { type: 'end', patience: number, isEnding: boolean } |
  /** It has taken over. */
  { type: 'succeeded' } |
  /** It has not. */
  { type: 'failed', message: string } |
  /** This end of the channel to the other worker is closed. */
  { type: 'bye' }

/** From the primary. */
export type ToWorker =
  /** Another worker shall take over from this one. */
  { type: 'begin' } |
  { type: 'started', pid: number } |
  /** The one that was started has ended; in words. */
  { type: 'ended', how: string } |
  /** The other worker has closed its end, or has ended. */
  { type: 'lost' }

const envelope = 'fastify-drain.cluster'

export function wrap (message: ToPrimary | ToWorker): object {
  return { [envelope]: message }
}

/** What is in the envelope; `null`: it is not one of ours. */
export function unwrap<T extends ToPrimary | ToWorker> (message: unknown): T | null {
  if (typeof message !== 'object' || message === null || !Object.hasOwn(message, envelope)) return null
  return (message as Record<string, T>)[envelope] ?? null
}

type Host = Pick<NodeJS.Process, 'on' | 'once' | 'off' | 'send' | 'connected'>

/** Calls `begin` each time the primary wants another worker to take over from this one. */
export function onReplacement (host: Host, begin: () => Promise<unknown>): void {
  const tell = (message: ToPrimary): void => { send(host, wrap(message)) }
  host.on('message', (message: unknown) => {
    if (unwrap<ToWorker>(message)?.type !== 'begin') return
    begin().then(() => tell({ type: 'succeeded' }), (error: Error) => tell({ type: 'failed', message: error.message }))
  })
}

interface LineEvents {
  message: [message: unknown, handle: unknown]
  disconnect: []
  started: [pid: number]
  ended: [how: string]
}

/** This worker's end of the channel to another one, by way of their primary. The channel to the primary itself stays open. */
export class Line extends EventEmitter<LineEvents> {
  readonly #host: Host
  #isOpen = true
  readonly #hear = (message: unknown, handle: unknown): void => {
    const order = unwrap<ToWorker>(message)
    if (order === null) this.emit('message', message, handle)
    else if (order.type === 'started') this.emit('started', order.pid)
    else if (order.type === 'ended') this.emit('ended', order.how)
    else if (order.type === 'lost') this.#lost()
  }

  readonly #lost = (): void => {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.emit('disconnect')
  }

  constructor (host: Host) {
    super()
    this.#host = host
    host.on('message', this.#hear)
    host.once('disconnect', this.#lost)
  }

  get connected (): boolean {
    return this.#isOpen && this.#host.connected
  }

  send (message: object, handle: SendHandle, _options: object, done: () => void): void {
    send(this.#host, message, handle, done)
  }

  tell (message: ToPrimary): void {
    send(this.#host, wrap(message))
  }

  disconnect (): void {
    if (!this.#isOpen) return
    this.tell({ type: 'bye' })
    this.#lost()
  }
}

function send (host: Host, message: object, handle?: SendHandle, done = (): void => {}): void {
  // When it fails, 'disconnect' says so.
  if (host.connected) host.send?.(message, handle, {}, done)
}
