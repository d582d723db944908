import { setTimeout as sleep } from 'node:timers/promises'
import type { BadNetwork, Line } from '../helpers/bad-network.ts'
import { appsOn } from './apps.ts'
import type { Answer, Route } from './connection.ts'
import { startServer, type Clients, type Stopped, type Teardown } from './processes.ts'
import { tally, type Row } from './result.ts'

const scenario = 'last packets lost'
const hardStopAfter = 15_000
const patience = 3000

// How long the handlers take, so that their answers are the last thing that happens, in ms.
const work = 300

/**
 * The last answers of a process are lost on their way, and sent again, and lost again; so are our FIN and the acknowledgements and
 * FINs of the clients. The network of the server ends with its process. `lines`: one for each connection.
 */
export async function lastPackets (t: Teardown, network: BadNetwork, lines: Line[], clients: Clients): Promise<{ rows: Row[], stopped: Stopped, answers: Answer[] }> {
  const [first] = lines as [Line]
  await Promise.all(lines.map(line => line.set({ delay: 10 })))
  const apps = appsOn(first)
  const server = await startServer(t, network, apps, { hardStopAfter, idleGrace: 0 }, lines)
  await server.listen()
  const requests = apps.flatMap(app => ['late', ...app.protocol === 'http' || app.protocol === 'https' ? ['until-fin'] : []].map(path => ({ app, path })))
  const answers = requests.map(({ app, path }, i) => {
    const route: Route = { ...app, from: lines[i]!.client }
    const id = `last-packets.${app.protocol}.${path}`
    return clients.ask(id, route, { id, path: `/${path}/${id}/${work}` }, hardStopAfter + patience)
  })
  while (server.ledger().ids().length < requests.length) await sleep(5)

  const stopping = server.terminate()
  await Promise.all(lines.slice(0, requests.length).flatMap(line => [
    line.drop('data', 2, 'toClient'), line.drop('fin', 2, 'toClient'), line.drop('fin', 1, 'toServer'), line.drop('bare', 2, 'toServer')
  ]))
  const stopped = await stopping
  const all = await Promise.all(answers)
  const rows = apps.map(({ protocol }) => {
    const own = all.filter((_, i) => requests[i]!.app.protocol === protocol)
    const row = tally({ scenario, protocol, answers: own, ledgers: [server.ledger()], stopped, hardStopAfter })
    if (stopped.code !== 0) row.wrong.push(`exit ${stopped.code}: ${JSON.stringify(stopped.reports[protocol])}`)
    return row
  })
  return { rows, stopped, answers: all }
}

/** How many lines it takes. */
export const lastPacketsLines = 6
