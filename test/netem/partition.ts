import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyDrainOptions } from '../../index.ts'
import type { BadNetwork, Line } from '../helpers/bad-network.ts'
import { appsOn, protocols } from './apps.ts'
import type { Answer, Route } from './connection.ts'
import { startServer, type Clients, type Stopped, type Teardown } from './processes.ts'
import { tally, type Row } from './result.ts'

// How long a client waits for an answer when the server has ended.
const patience = 3000

export interface Break {
  scenario: string
  /** When nothing gets through any more, in ms after SIGTERM; 0: right before it. */
  at: number
  /** For how long, in ms; Infinity: for ever. */
  length: number
  options: FastifyDrainOptions & { hardStopAfter: number }
  /** How long the requests take that are being served when the drain begins, in ms; what takes longer than the deadline is cut. */
  work: readonly number[]
  /** When requests are sent on connections that are idle when the drain begins, in ms after SIGTERM. */
  late?: readonly number[]
}

export interface Broken { rows: Row[], stopped: Stopped, answers: Answer[] }

/** Nothing gets through for a while in the middle of a drain; the network of the server ends with its process. */
export async function partition (t: Teardown, network: BadNetwork, line: Line, clients: Clients, { scenario, at, length, options, work, late = [] }: Break): Promise<Broken> {
  await line.set({ delay: 10 })
  const apps = appsOn(line)
  const server = await startServer(t, network, apps, options, [line])
  await server.listen()
  const name = scenario.replaceAll(/\W+/g, '-')
  const { hardStopAfter } = options
  const ask = (route: Route, client: string, id: string, path: string): Promise<Answer> =>
    clients.ask(`${name}.${route.protocol}.${client}`, route, { id, path }, hardStopAfter + patience)
  const routes = apps.map((app): Route => ({ ...app, from: line.client }))
  // One request before; `idle` has no other.
  const idle = ['idle', ...late.map(ms => `late.${ms}`)]
  await Promise.all(routes.flatMap(route => idle.map(client => {
    const id = `${name}.${route.protocol}.first.${client}`
    return ask(route, client, id, `/now/${id}`)
  })))
  const worked = routes.map(route => work.map(ms => {
    const id = `${name}.${route.protocol}.work.${ms}`
    return ask(route, `work.${ms}`, id, `/late/${id}/${ms}`)
  }))
  while (server.ledger().ids().filter(id => id.includes('.work.')).length < work.length * routes.length) await sleep(10)

  if (at === 0) await line.cut()
  const stopping = server.terminate()
  const asked = routes.map(route => late.map(async ms => {
    await sleep(ms)
    const id = `${name}.${route.protocol}.late.${ms}`
    return ask(route, `late.${ms}`, id, `/now/${id}`)
  }))
  if (at > 0) {
    await sleep(at)
    await line.cut()
  }
  if (length < Infinity) {
    const ended = await Promise.race([sleep(length, false), stopping.then(() => true)])
    if (!ended) await line.mend()
  }
  const stopped = await stopping
  const answers = await Promise.all(routes.map((_, i) => Promise.all([...worked[i]!, ...asked[i]!])))
  // Nothing can reach them, or it comes too late.
  const isCut = ({ id }: Answer): boolean => length === Infinity || work.some(ms => ms > hardStopAfter && id.endsWith(`.${ms}`))
  const rows = protocols.map((protocol, i) => {
    const row = tally({ scenario, protocol, answers: answers[i]!, ledgers: [server.ledger()], stopped, hardStopAfter, isCut })
    const expected = answers[i]!.some(isCut) ? 1 : 0
    const { connections } = stopped.reports[protocol] ?? {}
    if (stopped.code !== expected || connections === undefined || (expected === 0) !== (connections.cut === 0)) {
      row.wrong.push(`exit ${stopped.code} after ${stopped.ms} ms, ${JSON.stringify(connections)}`)
    }
    return row
  })
  return { rows, stopped, answers: answers.flat() }
}
