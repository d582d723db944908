import { setTimeout as sleep } from 'node:timers/promises'
import type { BadNetwork, Line } from '../helpers/bad-network.ts'
import { appsOn, protocols } from './apps.ts'
import type { Answer, Request } from './connection.ts'
import { startServer, type Clients, type Stopped, type Teardown } from './processes.ts'
import { tally, type Row } from './result.ts'
import type { Protocol } from './server.ts'

// In bits per second; what a modem keeps while its line is busy, in bytes.
const modem = { rate: 56_000, queue: 16_000, delay: 20 }

// How much longer a client waits when the server has ended.
const patience = 3000

interface Transfer { protocol: Protocol, what: string, request: Omit<Request, 'id' | 'path'>, path (id: string): string }

function transfersOf (size: number): Transfer[] {
  return protocols.flatMap((protocol): Transfer[] => [
    { protocol, what: 'download', request: {}, path: id => `/bytes/${id}/${size}` },
    { protocol, what: 'upload', request: { upload: size }, path: id => `/upload/${id}` },
    ...protocol === 'http' || protocol === 'https' ? [{ protocol, what: 'chunked', request: { upload: size, chunked: true }, path: (id: string) => `/upload/${id}` }] : []
  ])
}

/** How many lines it takes. */
export const slowLines = transfersOf(0).length

export interface Slow { rows: Row[], stopped: Stopped, answers: Answer[] }

/** Downloads and uploads of `size` bytes at 56 kbit/s, each on a line of its own, are under way when the drain begins. */
export async function slow (
  t: Teardown, network: BadNetwork, lines: Line[], clients: Clients, { scenario, size, hardStopAfter }: { scenario: string, size: number, hardStopAfter: number }
): Promise<Slow> {
  const [first] = lines as [Line]
  await Promise.all(lines.map(line => line.set(modem)))
  const apps = appsOn(first)
  const server = await startServer(t, network, apps, { hardStopAfter }, lines)
  await server.listen()
  const transfers = transfersOf(size)
  const answers = transfers.map(({ protocol, what, request, path }, i) => {
    const id = `${scenario.replaceAll(/\W+/g, '-')}.${protocol}.${what}`
    const app = apps.find(app => app.protocol === protocol)!
    return clients.ask(id, { ...app, from: lines[i]!.client }, { id, path: path(id), ...request }, hardStopAfter + patience)
  })
  while (server.ledger().ids().length < transfers.length) await sleep(20)

  const stopped = await server.terminate()
  const all = await Promise.all(answers)
  const isTooSlow = size * 8 / modem.rate * 1000 > hardStopAfter
  const rows = protocols.map(protocol => {
    const own = all.filter((_, i) => transfers[i]!.protocol === protocol)
    const row = tally({ scenario, protocol, answers: own, ledgers: [server.ledger()], stopped, hardStopAfter, isCut: () => isTooSlow })
    row.wrong.push(...whatIsWrong(own, size, isTooSlow, stopped, protocol))
    return row
  })
  return { rows, stopped, answers: all }
}

function whatIsWrong (answers: Answer[], size: number, isTooSlow: boolean, { code, ms, reports }: Stopped, protocol: Protocol): string[] {
  const { connections, stragglers = [] } = reports[protocol] ?? {}
  const exit = `exit ${code} after ${ms} ms, ${JSON.stringify(connections)}`
  if (!isTooSlow) {
    // What was uploaded is in the answer.
    const bodies = answers.filter(({ id, bytes }) => id.endsWith('download') ? bytes !== size : bytes !== `${size} complete ${id}`.length)
    return [...bodies.map(({ id, bytes }) => `${id}: ${bytes} bytes`), ...code === 0 && connections?.cut === 0 ? [] : [exit]]
  }
  const cut = stragglers.filter(({ outcome }) => outcome === 'cut')
  return [
    ...answers.filter(({ isWhole }) => isWhole).map(({ id }) => `${id} was faster than its line`),
    ...code === 1 && cut.length === answers.length ? [] : [exit],
    // The reader's.
    ...cut.some(({ unacknowledgedBytes }) => (unacknowledgedBytes ?? 0) > 0) ? [] : [`nobody knows what the reader has not got: ${JSON.stringify(stragglers)}`]
  ]
}
