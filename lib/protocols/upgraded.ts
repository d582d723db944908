import type { Duplex } from 'node:stream'
import { errors } from '../errors.ts'

/** Says goodbye on an upgraded socket in the words of its own protocol. */
export type UpgradeCloser = () => unknown

/** What the owners of upgraded sockets want to be called for when a drain closes connections. */
export class UpgradeClosers {
  readonly #closers = new Map<Duplex, UpgradeCloser>()
  readonly #called = new WeakSet<Duplex>()
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
    if (this.#closing) this.close(socket)
  }

  /** From now on a closer is called as it comes; of those that are there, the ones whose sockets are not `known`. */
  begin (known: (socket: Duplex) => boolean): void {
    this.#closing = true
    for (const socket of this.#closers.keys()) if (!known(socket)) this.close(socket)
  }

  has (socket: Duplex): boolean {
    return this.#closers.has(socket)
  }

  /** Calls the closer of this socket, once; `false`: there is none, and was none. One that fails keeps nothing else from being closed. */
  close (socket: Duplex): boolean {
    const closer = this.#closers.get(socket)
    if (closer === undefined) return this.#called.has(socket)
    this.#closers.delete(socket)
    this.#called.add(socket)
    this.#call(closer)
    return true
  }

  async #call (closer: UpgradeCloser): Promise<void> {
    try { await closer() } catch (error) { this.#onError(error) }
  }
}
