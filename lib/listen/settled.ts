import type { Server } from 'node:net'

/** Whether an app.listen() is under way. */
export class ListenState {
  #settled: Promise<void> = Promise.resolve()
  #settle = () => {}

  /** The main server begins to listen. */
  begin (main: Server): void {
    this.#settled = new Promise(resolve => {
      this.#settle = () => {
        main.off('error', this.#settle)
        resolve()
      }
      main.once('error', this.#settle)
    })
  }

  /** Every server of the app listens. */
  done (): void {
    this.#settle()
  }

  /**
   * Resolves when no listen() is under way. Fastify looks for the second address of `localhost` when its main server
   * listens already, and throws where nobody can catch it when that server has been closed meanwhile.
   */
  async settled (): Promise<void> {
    await this.#settled
  }
}
