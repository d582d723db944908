import { protocols } from './apps.ts'
import { badNetwork, type BadNetwork, type Line } from '../helpers/bad-network.ts'
import { crossing, type Crossed } from './crossing.ts'
import { far, type FarScale } from './far.ts'
import { lastPackets, lastPacketsLines } from './last-packets.ts'
import { partition, type Broken } from './partition.ts'
import { startClients, type Clients, type Teardown } from './processes.ts'
import type { Row } from './result.ts'
import { slow, slowLines } from './slow.ts'

export interface Scale {
  /** Keep-alive clients far away, for each protocol. */
  clients: number
  /** For them, in ms. */
  idleGrace: number
  /** Of what is downloaded and uploaded at 56 kbit/s, in bytes. */
  size: number
  /** Clients at the rate at which most is lost, too; and what needs a processor by itself. */
  heavy: boolean
  seed: number
}

export interface Outcomes {
  rows: Row[]
  /** What needs a closer look than its rows. */
  crossed: Crossed
  reset: Broken
}

const breakLength = 3000
const atOnce = { hardStopAfter: 15_000 }
const patient = { hardStopAfter: 20_000, idleGrace: 8000 }
// Shorter than the break, if there were not userTimeout.
const keepAlive = { idle: 1000, interval: 1000, count: 2, userTimeout: 10_000 }

/** All scenarios, those that only wait at the same time. */
export async function runScenarios (t: Teardown, { clients: kept, idleGrace, size, heavy, seed }: Scale): Promise<Outcomes> {
  const network = await badNetwork(t, { lines: 60, seed })
  const take = linesOf(network)
  const clients = await startClients(t, network)
  const broken = (name: string, options: Omit<Parameters<typeof partition>[4], 'scenario'>): Promise<Broken> =>
    partition(t, network, take(1)[0]!, clients, { scenario: name, ...options })
  const slowly = (scenario: string, size: number, hardStopAfter: number): Promise<{ rows: Row[] }> =>
    slow(t, network, take(slowLines), clients, { scenario, size, hardStopAfter })

  const farAway = (who: Clients, options: Omit<FarScale, 'idleGrace'>): Promise<{ rows: Row[] }> => far(t, network, take(1)[0]!, who, { idleGrace, ...options })
  const busy = { scenario: 'far away', kept, fresh: Math.ceil(kept / 4), think: { min: 100, max: 600 } }

  const [crossed, reset, ...others] = await Promise.all([
    crossing(t, network, take(1)[0]!, clients),
    broken('3 s break, hardStop reset', { at: 500, length: breakLength, options: { hardStopAfter: 12_000, hardStop: 'reset', keepAlive }, work: [520, 1500, 20_000] }),
    broken('3 s break', { at: 500, length: breakLength, options: atOnce, work: [450, 520, 1500] }),
    broken('3 s break from the start, idleGrace 8 s', { at: 0, length: breakLength, options: patient, work: [450, 1500], late: [700, 1500] }),
    broken('break without an end', { at: 500, length: Infinity, options: { hardStopAfter: 5000 }, work: [1500, 20_000] }),
    slowly('56 kbit/s', size, 25_000),
    slowly('56 kbit/s, too slow', 3 * size, 4000),
    lastPackets(t, network, take(lastPacketsLines), clients),
    ...heavy ? [] : [farAway(clients, { ...busy, protocols })]
  ])
  // Many handshakes in one process would be its own network.
  for (const protocol of heavy ? protocols : []) {
    others.push(await farAway(await startClients(t, network), { ...busy, protocols: [protocol] }))
    others.push(await farAway(await startClients(t, network), { scenario: 'far away, worst rate', protocols: [protocol], kept: 2 * kept, fresh: 0, think: { mean: idleGrace } }))
  }
  return { rows: [crossed, reset, ...others].flatMap(({ rows }) => rows), crossed, reset }
}

function linesOf ({ lines }: BadNetwork): (count: number) => Line[] {
  let taken = 0
  return count => {
    taken += count
    return lines.slice(taken - count, taken)
  }
}
