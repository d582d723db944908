import { setTimeout as sleep } from 'node:timers/promises'
import type { BadNetwork, Line } from '../helpers/bad-network.ts'
import { capture, type Packet } from '../helpers/capture.ts'
import { appsOn } from './apps.ts'
import type { Answer, Route } from './connection.ts'
import { startServer, type Clients, type Stopped, type Teardown } from './processes.ts'
import { tally, type Row } from './result.ts'
import type { Protocol } from './server.ts'

const scenario = 'request behind our FIN'
const hardStopAfter = 30_000
const idleGrace = 300

// How long the way to the server is, in ms; the way back is short.
const farAway = 2500

export interface Crossed {
  rows: Row[]
  stopped: Stopped
  answers: Partial<Record<Protocol, Answer>>
  /** What was seen at the server on the one connection of each protocol. */
  packets: Partial<Record<Protocol, Packet[]>>
}

/** Requests that are on their way when the drain begins, and arrive when the grace is over and our FIN, or GOAWAY, is out. */
export async function crossing (t: Teardown, network: BadNetwork, line: Line, clients: Clients): Promise<Crossed> {
  await line.set({ delay: 5 })
  const apps = appsOn(line)
  const server = await startServer(t, network, apps, { hardStopAfter, idleGrace }, [line])
  await server.listen()
  const seen = await capture(t, { host: network.server, filter: `tcp and host ${line.client}` })
  const ask = (route: Route, what: string): Promise<Answer> => {
    const id = `crossing.${route.protocol}.${what}`
    return clients.ask(`crossing.${route.protocol}`, route, { id, path: `/now/${id}` }, hardStopAfter)
  }
  const routes = apps.map((app): Route => ({ ...app, from: line.client }))
  await Promise.all(routes.map(route => ask(route, 'first')))

  await line.set({ delay: farAway }, 'toServer')
  const asked = routes.map(route => ask(route, 'crossing'))
  // They are on their way.
  await sleep(100)
  const stopped = await server.terminate()
  const answers = await Promise.all(asked)
  const packets = await seen.stop()
  return {
    rows: apps.map(({ protocol }, i) => tally({
      scenario,
      protocol,
      answers: [answers[i]!],
      ledgers: [server.ledger()],
      stopped,
      hardStopAfter,
      // Whoever asks in this moment is lost: that is what the bound is about.
      bound: protocol === 'http' || protocol === 'https' ? 1 : null
    })),
    stopped,
    answers: Object.fromEntries(apps.map(({ protocol }, i) => [protocol, answers[i]!])),
    packets: Object.fromEntries(apps.map(({ protocol, port }) => [protocol, packets.filter(({ from, to }) => [from, to].includes(`${line.server}:${port}`))]))
  }
}
