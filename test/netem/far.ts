import { setTimeout as sleep } from 'node:timers/promises'
import type { BadNetwork, Line } from '../helpers/bad-network.ts'
import { startServer, type Clients, type Teardown } from './processes.ts'
import { lossBound, median, tally, type Row } from './result.ts'
import { appsOn } from './apps.ts'
import type { Crowd, Users } from './clients.ts'
import type { Protocol } from './server.ts'

export interface FarScale {
  scenario: string
  protocols: readonly Protocol[]
  /** For each protocol. */
  kept: number
  fresh: number
  think: Users['think']
  idleGrace: number
}

const hardStopAfter = 15_000

/**
 * A successor listens on the same port, then SIGTERM, while clients far away ask and new ones come: 50 ms ± 20 ms in each
 * direction, 1 % of all packets lost, and packets that overtake each other.
 */
export async function far (t: Teardown, network: BadNetwork, line: Line, clients: Clients, { scenario, protocols, kept, fresh, think, idleGrace }: FarScale): Promise<{ rows: Row[] }> {
  await line.set({ delay: 50, jitter: 20, loss: 0.01 })
  const apps = appsOn(line, protocols)
  const options = { idleGrace, hardStopAfter, reusePort: true }
  const [old, next] = await Promise.all([startServer(t, network, apps, options), startServer(t, network, apps, options)])
  await old.listen()
  for (const app of apps) clients.users({ name: app.protocol, route: { ...app, from: line.client }, kept, fresh, think })
  await clients.warm()
  await sleep(1000)
  await next.listen()
  await sleep(300)
  const stopped = await old.terminate()
  // Every client finds its way to the successor.
  await sleep(1000)
  const { crowds, late } = await clients.stop()
  const last = await next.terminate()
  const { toServer, toClient } = await line.counts()

  const rows = protocols.map(protocol => {
    const { answers, handshakes } = crowds[protocol] as Crowd
    const rtt = median(handshakes)
    const { idle = 0 } = stopped.began[protocol] ?? {}
    const row: Row = tally({
      scenario,
      protocol,
      answers,
      ledgers: [old.ledger(), next.ledger()],
      stopped,
      hardStopAfter,
      bound: lossBound({ rtt, idleGrace, idle })
    })
    row.notes.push(`RTT ${Math.round(rtt)} ms, ${idle} idle at the drain, ${toServer.lost + toClient.lost} packets lost and ${toServer.reordered + toClient.reordered} overtaken on this line, clients ${late} ms late`)
    const newcomers = answers.filter(({ id, isWhole, isRefused }) => id.includes('.fresh.') && !isWhole && !isRefused)
    // The bound is that of connections which were idle.
    row.wrong.push(...newcomers.map(({ id, error }) => `lost on a new connection: ${id}, ${error}`))
    if (stopped.code !== 0 || last.code !== 0) row.wrong.push(`exit ${stopped.code}, ${last.code}: ${JSON.stringify(stopped.reports[protocol])}`)
    return row
  })
  return { rows }
}
