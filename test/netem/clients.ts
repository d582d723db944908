// Clients in a process of their own, which do what they are told.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, type Answer, type Client, type Request, type Route } from './connection.ts'

export interface Users {
  /** The ids of their requests begin so. */
  name: string
  route: Route
  /** How many keep their connection. */
  kept: number
  /** How many open a connection for each request. */
  fresh: number
  /** Between an answer and the next request, in ms: from `min` to `max`, or at random with this `mean` (a Poisson process). */
  think: { min: number, max: number } | { mean: number }
}

export interface Crowd {
  answers: Answer[]
  handshakes: number[]
}

export type ToClients =
  { type: 'ask', client: string, route: Route, request: Request } |
  { type: 'users', users: Users } |
  { type: 'stop' }

const clients = new Map<string, Client>()
const stopping = new AbortController()
const lateness = monitorEventLoopDelay({ resolution: 10 })
lateness.enable()
const running: Array<Promise<Crowd & { name: string }>> = []
// Clients that keep their connection and have not had an answer yet.
let cold = 0

process.on('message', async (message: ToClients) => {
  if (message.type === 'ask') {
    const { client: name, route, request } = message
    const client = clients.get(name) ?? createClient(route)
    clients.set(name, client)
    tell('answer', { answer: await client.ask(request) })
  } else if (message.type === 'users') {
    running.push(start(message.users))
  } else {
    stopping.abort()
    tell('stopped', { crowds: await Promise.all(running), late: Math.round(lateness.percentile(99) / 1e6) })
  }
})
tell('ready')

async function start ({ name, route, kept, fresh, think }: Users): Promise<Crowd & { name: string }> {
  const answers: Answer[] = []
  const made: Client[] = []
  cold += kept
  await Promise.all(Array.from({ length: kept + fresh }, async (_, user) => {
    const client = createClient(route, user >= kept)
    made.push(client)
    for (let n = 0; !stopping.signal.aborted; n++) {
      await sleep(pause(think), null, { signal: stopping.signal }).catch(() => {})
      if (stopping.signal.aborted) break
      const id = `${name}.${user < kept ? 'kept' : 'fresh'}.${user}.${n}`
      answers.push(await client.ask({ id, path: `/now/${id}` }))
      if (n === 0 && user < kept && --cold === 0) tell('warm')
    }
    client.close()
  }))
  return { name, answers, handshakes: made.flatMap(({ handshakes }) => handshakes) }
}

function pause (think: Users['think']): number {
  return 'mean' in think ? -Math.log(1 - Math.random()) * think.mean : think.min + Math.random() * (think.max - think.min)
}

function tell (type: string, more: object = {}): void {
  process.send?.({ type, ...more })
}
