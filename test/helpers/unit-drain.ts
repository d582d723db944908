import { once } from 'node:events'
import http, { type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Drain, type DrainEnv } from '../../lib/drain.ts'
import { Observers, type Observer } from '../../lib/observer.ts'
import { resolveOptions, type FastifyDrainOptions } from '../../lib/options.ts'
import type { DrainPhase } from '../../lib/report.ts'
import { FakeClock } from './fake-clock.ts'
import { rawClient, type RawClient } from './raw-client.ts'
import { plainEnv } from './unit-env.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** A drain on a clock that is moved by hand, and what it logs, level first. */
export function drainByHand (
  t: Teardown,
  options: FastifyDrainOptions = {},
  closeApp: DrainEnv['closeApp'] = async () => {},
  listenSettled: DrainEnv['listenSettled'] = async () => {},
  observers: (clock: FakeClock) => Observer[] = () => []
) {
  const clock = new FakeClock()
  const lines: string[] = []
  const to = (level: string) => (_fields: object, message: string) => { lines.push(`${level}: ${message}`) }
  const drain = new Drain({
    ...plainEnv(clock),
    observer: new Observers(observers(clock)),
    settings: resolveOptions(options, {}),
    log: { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') },
    closeApp,
    listenSettled
  })
  const listen = async (listener: RequestListener = () => {}): Promise<(() => Promise<RawClient>) & { server: Server }> => {
    const server = http.createServer(listener)
    drain.connections.adopt(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      drain.connections.cut('destroy', () => {})
      server.close()
    })
    const connect = async (): Promise<RawClient> => {
      const accepted = once(server, 'connection')
      const client = await rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
      await accepted
      return client
    }
    return Object.assign(connect, { server })
  }
  return { clock, lines, drain, listen }
}

/** What happened when, in words. */
export const times = (phases: Array<{ phase: DrainPhase, at: number }>) => phases.map(({ phase, at }) => `${phase} at ${at}`)
