import type { Test } from 'tap'
import { startClients, type ClientsTally } from './keep-alive-clients.ts'
import { snippets } from './snippets.ts'
import { node, startProgram, type Program } from './systemd.ts'

export interface StartedPage {
  program: Program
  port: number
}

/**
 * Writes the files that a page shows, changed by `change`, and runs a command among them, by default server.js; resolves when it listens.
 */
export async function startPage (t: Test, page: string, { command = [...node, 'server.js'], env = {}, change = files => files }: {
  command?: readonly string[]
  env?: NodeJS.ProcessEnv
  change?: (files: Record<string, string>) => Record<string, string>
} = {}): Promise<StartedPage> {
  const program = startProgram(t, command, {
    cwd: t.testdir(change(snippets(page))),
    env: { ...process.env, PORT: '0', KUBERNETES_SERVICE_HOST: undefined, NODE_OPTIONS: '', ...env }
  })
  return { program, port: portOf(await program.says('Server listening at')) }
}

export const portOf = (line: string): number => Number(/:(\d+)"/.exec(line)?.[1])

/**
 * Ends a service by `end` while clients use it. Every request that it has got has to be answered, and it has to exit with 0.
 * It logs its requests.
 */
export async function drainsUnderLoad (t: Test, { program, port }: StartedPage, end = () => program.kill('SIGTERM')): Promise<ClientsTally> {
  const clients = startClients(t, { port })
  await clients.answers(300)
  const left = clients.leave()
  end()
  t.match(await program.exited, { code: 0, signal: null })
  const tally = await left
  t.comment(`${tally.answered} answered on ${tally.connections} connections`)
  t.same(tally.failed, {}, 'no client has lost a request')
  t.equal(program.told.filter(({ msg }) => msg === 'incoming request').length, tally.answered, 'what was executed was answered')
  return tally
}
