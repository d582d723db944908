import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../helpers/fuzz-random.ts'
import { rawClient, type RawClient } from '../helpers/raw-client.ts'
import type { Journal, Story } from './journal.ts'
import type { Events, Ledger } from './ledger.ts'
import type { Ports, ServiceName } from './service.ts'

/** What a client knows of the service that it uses. */
export interface Site {
  service: ServiceName
  ports: Ports
  /** What happens to the service. */
  story: Story
  journal: Journal
  ledger: Ledger
  events: Events
  /** No more requests. */
  stopping: AbortSignal
  idleGrace: number
  /** How long this process has stood still lately, so that it saw late what had arrived, in ms. */
  stoodStill (): number
}

/** Sends requests until it is told to stop. `name` is unique, and what the ids of its requests begin with. */
export type Client = (site: Site, name: string, random: Random) => Promise<void>

// Longer than any drain, in ms: whoever waits longer will never be answered.
export const patience = 30_000

/** For some ms, or until all is over. */
export async function pause ({ stopping }: Pick<Site, 'stopping'>, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: stopping }).catch(() => {})
}

/** Sends one request after the other until all is over; `one` gets the id of each. */
export async function repeat (site: Site, name: string, think: () => number, one: (id: string) => Promise<void>): Promise<void> {
  await pause(site, think())
  for (let n = 1; !site.stopping.aborted; n++) {
    await one(`${name}.${n}`)
    await pause(site, think())
  }
}

/** Judges an answer that has come. */
export function judge ({ ledger }: Site, id: string, { status, body, expected }: { status: number, body: string, expected: string }): void {
  if (status === 503) ledger.wrong(id, '503', 'it was answered 503')
  else if (status !== 200) ledger.wrong(id, 'wrong answer', `status ${status}: ${body.slice(0, 200)}`)
  else if (body !== expected) ledger.wrong(id, 'wrong answer', `${body.length} bytes, ${body.slice(0, 100)}`)
  else ledger.answered(id)
}

/** `ECONNRESET`, or the message. */
export function nameOf (error: unknown): string {
  const { code, message, cause } = error as NodeJS.ErrnoException
  return code ?? (cause === undefined ? message : nameOf(cause))
}

/**
 * A connection that is idle for longer than the grace may get our FIN while a request is on its way. Whether the server has
 * executed it is for the ledger to say. `idle`: how long it was, in ms; `null`: it is the first request of the connection.
 */
export function lostOrCrossed ({ ledger, idleGrace, stoodStill }: Site, id: string, error: string, idle: number | null): void {
  const isClosed = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'FIN'].includes(error)
  if (isClosed && idle !== null && idle + stoodStill() >= idleGrace) ledger.answered(id, 'crossed')
  else ledger.lost(id, error)
}

export interface Connection extends RawClient {
  story: Story
  /** `performance.now()` of the last answer. */
  answeredAt: number | null
  /** Whatever it had to do is done; resolves with the error code, if any, when it is gone. */
  leave (): Promise<string | null>
  destroy (): void
}

/** A connection of its own to the app of HTTP/1.1. Who cannot connect is a violation. */
export async function connection ({ ports, journal, story: service }: Site, name: string): Promise<Connection | null> {
  let destroy = (): unknown => undefined
  const story = journal.connection(name)
  story.tell('connects')
  try {
    const client = await rawClient({ teardown: fn => { destroy = fn } }, { host: '127.0.0.1', port: ports.http1 })
    client.socket.setTimeout(patience, () => client.socket.destroy(new Error('nothing for too long')))
    client.socket.once('end', () => story.tell('FIN')).once('error', error => story.tell(nameOf(error)))
    story.tell(`connected, from port ${client.socket.localPort}`)
    return Object.assign(Object.create(client) as RawClient, {
      story,
      answeredAt: null,
      destroy: () => { destroy() },
      async leave () {
        client.halfClose()
        return client.closed()
      }
    })
  } catch (error) {
    journal.violation('connect', `${name} cannot connect: ${nameOf(error)}`, story, service)
    return null
  }
}
