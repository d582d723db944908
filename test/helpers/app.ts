import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import drain, { type FastifyDrainOptions } from '../../index.ts'

export interface TestApp {
  app: FastifyInstance
  /** Lets the app listen on 127.0.0.1, and says where. */
  listen (): Promise<{ host: string, port: number }>
  /** What the app logged from the drain, message by message. */
  logged: string[]
}

/**
 * A Fastify app with the plugin, without signal handlers; closed on teardown. Its deadline is short, so that
 * a test that leaves a connection open does not wait for it.
 */
export async function testApp (
  t: { teardown (fn: () => unknown): void },
  options: FastifyDrainOptions = {},
  server: FastifyServerOptions = {}
): Promise<TestApp> {
  const logged: string[] = []
  const app = Fastify({
    logger: { level: 'trace', stream: { write (line: string) { logged.push(JSON.parse(line).msg) } } },
    ...server
  } as FastifyServerOptions)
  await app.register(drain, { signals: false, hardStopAfter: 10_000, ...options })
  t.teardown(() => app.close())
  return {
    app,
    logged,
    async listen () {
      await app.listen({ host: '127.0.0.1', port: 0 })
      return { host: '127.0.0.1', port: (app.server.address() as AddressInfo).port }
    }
  }
}

/** A promise with its functions outside. */
export function deferred<T = void> (): { promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<T>((_resolve, _reject) => { resolve = _resolve; reject = _reject })
  return { promise, resolve, reject }
}

/** Resolves when the server has accepted its next connection and knows about it. */
export async function accepted (app: FastifyInstance): Promise<void> {
  await once(app.server, 'connection')
}

/** Waits, for at most 30 s, until `probe` is true; for states that no event announces. */
export async function eventually (probe: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 30_000
  while (!probe()) {
    if (performance.now() > end) throw new Error(`this did not come true within 30 s: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
