import type { FastifyInstance } from 'fastify'
import { eventually } from './app.ts'
import { rawClient, request, type RawClient } from './raw-client.ts'

/** Two connections of an app: one has had its answer from `/`, which is hello, the other waits for that of `/slow`. */
export async function idleAndBusy (
  t: { teardown (fn: () => unknown): void }, app: FastifyInstance, to: { host: string, port: number }
): Promise<{ idle: RawClient, busy: RawClient }> {
  const idle = await rawClient(t, to)
  idle.write(request('/'))
  await idle.until(/hello/)
  const busy = await rawClient(t, to)
  busy.write(request('/slow'))
  await eventually(() => app.drain.connections.active === 1, 'a request is open')
  return { idle, busy }
}
