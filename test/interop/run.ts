import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, Pace, Tally, Target } from './client.ts'
import type { Ledger } from './ledger.ts'
import type { Service, Stopped } from './restart.ts'

export interface Run extends Tally {
  client: Client
  pace: Pace
  /** Requests that the caller got no right answer to. */
  lost: number
  /** Requests that came to a server more than once; `null` where requests have no ids. */
  receivedTwice: number | null
  executedTwice: number | null
  /** Requests that were executed although the caller was told that they failed. */
  executedButLost: number
}

/**
 * Keeps these clients busy while the service is restarted. `through`: the target, where that is not the service itself.
 * `settle`: how long the clients go on before and after each restart, in ms.
 */
export async function runAcrossRestarts (
  service: Service, clients: ReadonlyArray<{ client: Client, pace: Pace }>,
  { restarts, settle, through = service }: { restarts: number, settle: number, through?: Target }
): Promise<{ runs: Run[], stops: Stopped[], ledger: Ledger }> {
  const running = clients.map(({ client, pace }) => client.start(through, pace))
  await warm(service, clients)
  const stops: Stopped[] = []
  for (let i = 0; i < restarts; i++) {
    await sleep(settle)
    stops.push(await service.restart())
  }
  await sleep(settle)
  const tallies = await Promise.all(running.map(each => each.stop()))
  const ledger = await service.stop()
  return { runs: tallies.map((tally, i) => judge(clients[i]!, tally, ledger)), stops, ledger }
}

/** Resolves when every user has had two answers: then connections have been kept alive. */
async function warm (service: Service, clients: ReadonlyArray<{ client: Client, pace: Pace }>): Promise<void> {
  const end = performance.now() + 60_000
  while (true) {
    const ledger = service.ledger()
    const cold = clients.filter(({ client, pace }) => ledger.sum(`${client.id}.`).answered < 2 * pace.users)
    if (cold.length === 0) return
    if (performance.now() > end) throw new Error(`no answers for ${cold.map(({ client }) => client.name).join(', ')} within 60 s`)
    await sleep(100)
  }
}

function judge ({ client, pace }: { client: Client, pace: Pace }, tally: Tally, ledger: Ledger): Run {
  const prefix = `${client.id}.`
  const entries = ledger.ids(prefix).map(id => ledger.of(id))
  const twice = (step: 'received' | 'executed'): number | null =>
    client.tellsIds ? entries.filter(entry => entry[step] > 1).length : null
  const executed = client.tellsIds
    ? entries.filter(entry => entry.executed > 0).length
    : ledger.sum(prefix).executed
  return {
    client,
    pace,
    ...tally,
    lost: tally.sent - tally.answered,
    receivedTwice: twice('received'),
    executedTwice: twice('executed'),
    executedButLost: Math.max(0, executed - tally.answered - (tally.givenUp ?? 0))
  }
}
