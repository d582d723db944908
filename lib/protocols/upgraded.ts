import type { Duplex } from 'node:stream'
import { errors } from '../errors.ts'

/** Says goodbye on an upgraded socket in the words of its own protocol. */
export type UpgradeCloser = () => unknown

/** What the owners of upgraded sockets want to be called for when a drain closes connections. */
export class UpgradeClosers {
  readonly #closers = new Map<Duplex, UpgradeCloser>()
  readonly #onError: (error: unknown) => void
  #closing = false

  constructor (onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** @throws FST_DRAIN_INVALID_CLOSER */
  add (socket: Duplex, closer: UpgradeCloser): void {
    if (typeof socket?.once !== 'function') throw new errors.InvalidCloser('the socket of an upgrade as its first argument')
    if (typeof closer !== 'function') throw new errors.InvalidCloser('a function as its second argument')
    this.#closers.set(socket, closer)
    socket.once('close', () => { this.#closers.delete(socket) })
    // An upgrade that crossed the beginning of the drain.
    if (this.#closing) this.#close(socket)
  }

  /** Calls every closer once, now and as they come; one that fails does not keep the others from being called. */
  closeAll (): void {
    this.#closing = true
    for (const socket of this.#closers.keys()) this.#close(socket)
  }

  async #close (socket: Duplex): Promise<void> {
    const closer = this.#closers.get(socket)
    this.#closers.delete(socket)
    try { await closer?.() } catch (error) { this.#onError(error) }
  }
}
