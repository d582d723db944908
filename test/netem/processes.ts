import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionCounts, DrainReport, FastifyDrainOptions } from '../../index.ts'
import type { BadNetwork, Line } from '../helpers/bad-network.ts'
import { startProcess } from '../helpers/process.ts'
import { Ledger } from '../interop/ledger.ts'
import type { Crowd, ToClients, Users } from './clients.ts'
import type { Answer, Request, Route } from './connection.ts'
import type { AppAt, Protocol, ServerDescription } from './server.ts'

export interface Teardown { teardown (fn: () => unknown): void }

export interface Stopped {
  code: number | null
  /** From the signal to the exit. */
  ms: number
  reports: Partial<Record<Protocol, DrainReport>>
  /** What was open in the first moment of the drain. */
  began: Partial<Record<Protocol, ConnectionCounts>>
  /** What was logged as a warning or worse. */
  told: string[]
}

export interface Server {
  listen (): Promise<void>
  /** SIGTERM; resolves with the exit. */
  terminate (): Promise<Stopped>
  ledger (): Ledger
}

/**
 * Loads apps in one process. Its `lines` end with it, as the network of a container does, and with them all that the kernel still
 * had to send.
 */
export async function startServer (t: Teardown, network: BadNetwork, apps: AppAt[], options: FastifyDrainOptions, lines: Line[] = []): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'netem-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const ledger = join(folder, 'ledger')
  writeFileSync(ledger, '')
  const description: ServerDescription = { ledger, options, apps }
  const started = startProcess(t, new URL('server.ts', import.meta.url), {
    under: network.server.under, args: [JSON.stringify(description)], env: { KUBERNETES_SERVICE_HOST: undefined }
  })
  const ofEach = async (type: string): Promise<Partial<Record<Protocol, any>>> => Object.fromEntries(await Promise.all(apps.map(async ({ protocol }) =>
    [protocol, await started.message(message => message.type === type && message.protocol === protocol)])))
  await started.message(({ type }) => type === 'loaded')

  return {
    ledger: () => new Ledger([ledger]),
    async listen () {
      started.child.send({})
      await started.message(({ type }) => type === 'listening')
    },
    async terminate () {
      const at = performance.now()
      started.child.kill('SIGTERM')
      const exited = started.exited.then(async exit => {
        for (const line of lines) await line.cut()
        return exit
      })
      const [began, reports, exit] = await Promise.all([ofEach('began'), ofEach('report'), exited])
      const valuesOf = (messages: Partial<Record<Protocol, any>>, key: string): Partial<Record<Protocol, any>> =>
        Object.fromEntries(Object.entries(messages).map(([protocol, message]) => [protocol, message[key]]))
      return {
        code: exit.code,
        ms: Math.round(exit.at - at),
        began: valuesOf(began, 'connections'),
        reports: valuesOf(reports, 'report'),
        told: [...new Set(Object.values(reports).flatMap(({ told }) => told as string[]))].map(line => JSON.parse(line).msg)
      }
    }
  }
}

export interface Clients {
  /** Asks on the connection of this client; resolves after `patience` ms at the latest. */
  ask (client: string, route: Route, request: Request, patience?: number): Promise<Answer>
  users (users: Users): void
  /** Resolves when all that keep their connection have had an answer. */
  warm (): Promise<void>
  /** What became of the users, by name; `late`: their event loop was late by so many ms in one of a hundred times. */
  stop (): Promise<{ crowds: Record<string, Crowd>, late: number }>
}

/** One process for all clients of a network. */
export async function startClients (t: Teardown, network: BadNetwork): Promise<Clients> {
  const { child, message } = startProcess(t, new URL('clients.ts', import.meta.url), { under: network.client.under })
  const send = (command: ToClients): void => { child.send(command) }
  await message(({ type }) => type === 'ready')
  return {
    async ask (client, route, request, patience = 40_000) {
      send({ type: 'ask', client, route, request })
      const answered = message(({ type, answer }) => type === 'answer' && answer.id === request.id).then(({ answer }): Answer => answer)
      const nothing: Answer = { id: request.id, status: 0, bytes: 0, isWhole: false, isRefused: false, error: 'no answer', ms: patience }
      return Promise.race([answered, sleep(patience, nothing, { ref: false })])
    },
    users (users) { send({ type: 'users', users }) },
    async warm () { await message(({ type }) => type === 'warm') },
    async stop () {
      send({ type: 'stop' })
      const { crowds, late } = await message(({ type }) => type === 'stopped')
      return { crowds: Object.fromEntries(crowds.map(({ name, ...crowd }: Crowd & { name: string }) => [name, crowd])), late }
    }
  }
}
