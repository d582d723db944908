import type { SendHandle } from 'node:child_process'
import { envelope, open } from './protocol.ts'

/** Of Node's own channel, a pair of sockets without a name that nobody else can open; or of one that is like it. */
export interface End {
  readonly connected?: boolean
  readonly channel?: { unref (): void } | null | undefined
  on (event: 'message', hear: (message: unknown, handle: unknown) => void): unknown
  once (event: 'disconnect', hear: () => void): unknown
  send? (message: object, handle: SendHandle, options: object, done: () => void): unknown
  disconnect? (): void
}

/** One end of the channel between two processes. */
export class Channel<In extends object, Out extends object> {
  readonly #end: End
  #onMessage: (message: In, handle: unknown) => void = () => {}
  readonly #hear = (message: unknown, handle: unknown): void => {
    const content = open<In>(message)
    if (content !== null) this.#onMessage(content, handle)
  }

  constructor (end: End) {
    this.#end = end
  }

  /** `onLost`: the other side is gone, or has closed its end. */
  listen (onMessage: (message: In, handle: unknown) => void, onLost: () => void): void {
    this.#onMessage = onMessage
    this.#end.on('message', this.#hear)
    if (this.isOpen) this.#end.once('disconnect', onLost)
    // It has died while this process was loading.
    else setImmediate(onLost)
    // A script that comes to its end shall end, whoever could still write to it.
    this.#end.channel?.unref()
  }

  get isOpen (): boolean {
    return this.#end.connected === true
  }

  /** `handle`: one of Node's, of which the other side gets a copy; ours stays open. */
  send (message: Out, handle?: object): void {
    // When it fails, 'disconnect' says so.
    if (this.#end.connected) this.#end.send?.({ [envelope]: message }, handle as SendHandle, {}, () => {})
  }

  close (): void {
    // The listener stays: Node throws where nobody listens to a message that it has read already.
    this.#onMessage = () => {}
    if (this.#end.connected) this.#end.disconnect?.()
  }
}
