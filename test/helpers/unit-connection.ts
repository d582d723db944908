import type { RequestListener, Server } from 'node:http'
import { Connection, type ConnectionEnv } from '../../lib/connection.ts'
import { FakeClock } from './fake-clock.ts'
import { never, plainEnv } from './unit-env.ts'
import { httpPair } from './unit-http-server.ts'

/** One connection over 127.0.0.1, of a server that does not know the plugin, on a clock that is moved by hand. */
export async function setUp (
  t: { teardown (fn: () => unknown): void },
  listener?: RequestListener,
  times: ConnectionEnv['times'] = never,
  prepare?: (server: Server) => void
) {
  const pair = await httpPair(t, listener, prepare)
  const clock = new FakeClock()
  const events: string[] = []
  const halfClosed: number[] = []
  const env: ConnectionEnv = {
    ...plainEnv(clock, times),
    onHalfClosed: () => { halfClosed.push(clock.now()) },
    onTimedOut: each => { events.push(`timed out, ${each.state}`) }
  }
  const connection = new Connection(pair.socket, 0, env)
  const retirement = {
    peerCloseTimeout: 250,
    lastCall: 12_500,
    pingTimeout: 5000,
    onServed: () => { events.push('served') },
    onIdle: () => { events.push('idle') }
  }
  const gone = new Promise<void>(resolve => {
    pair.socket.on('close', () => { connection.closed(); resolve() })
  })
  return { ...pair, clock, env, connection, events, halfClosed, retirement, gone }
}
