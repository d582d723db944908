import { once } from 'node:events'
import http, { type RequestListener } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import type { RetirementPlan } from '../../lib/close-schedule.ts'
import { Connections, type ConnectionsEnv } from '../../lib/connections.ts'
import { FakeClock } from './fake-clock.ts'
import { rawClient, request, type RawClient } from './raw-client.ts'
import { plainEnv } from './unit-env.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** How many connections are in each state when there are none. */
export const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

export const hello: RequestListener = (_request, answer) => { answer.end('hello') }

/** The connections of one server, on a clock that is moved by hand. */
export async function setUp (
  t: Teardown, listener = hello, plan: Partial<RetirementPlan> = {}, env: Pick<Partial<ConnectionsEnv>, 'observer' | 'rotation' | 'closers' | 'sockets'> = {}
) {
  const clock = new FakeClock()
  const events: string[] = []
  const connections = new Connections({ ...plainEnv(clock), ...env }, {
    onLate: () => { events.push('late') },
    onServed: () => { events.push('served') },
    onTimedOut: () => { events.push('timed out') },
    onClosed: ({ outcome }) => { events.push(String(outcome)) }
  })
  t.teardown(() => connections.cut('destroy', () => {}))

  const listen = async (server: Server = http.createServer(listener)): Promise<Server> => {
    connections.adopt(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    return server
  }
  const first = await listen()
  const connect = async (to: Server = first): Promise<RawClient> => {
    const accepted = once(to, 'connection')
    const client = await rawClient(t, { host: '127.0.0.1', port: (to.address() as AddressInfo).port })
    await accepted
    return client
  }
  const connectIdle = async (): Promise<RawClient> => {
    const client = await connect()
    client.write(request('/'))
    await client.until(/hello/)
    return client
  }
  const retire = () => connections.retire({ idleGrace: 1000, closeSpread: 0, peerCloseTimeout: 250, lastCall: 12_500, pingTimeout: 5000, ...plan })
  const close = async (): Promise<void> => {
    const closing = connections.leave().then(() => connections.close())
    await clock.pass(0)
    await closing
  }
  return { clock, events, connections, server: first, listen, connect, connectIdle, retire, close }
}
