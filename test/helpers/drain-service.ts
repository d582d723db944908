import type { FastifyDrainOptions } from '../../index.ts'
import { startProcess, type StartedProcess } from './process.ts'
import { rawClient, request, type RawClient } from './raw-client.ts'

export interface Service extends StartedProcess {
  /** A message of this type. */
  told (type: string): Promise<any>
  /** A client of the service. */
  client (): Promise<RawClient>
  /** A client whose request has reached its handler. */
  asking (path: string): Promise<RawClient>
  /** What the service has logged. */
  logged (): Array<{ level: number, msg: string, err?: { message: string }, report?: unknown }>
}

interface Test { teardown (fn: () => unknown): void }

/** Starts the fixture `signals-app.ts` in a process of its own; resolves when it listens. */
export async function startService (t: Test, options: FastifyDrainOptions = {}, hook = ''): Promise<Service> {
  const started = startProcess(t, new URL('../fixtures/signals-app.ts', import.meta.url), {
    env: { OPTIONS: JSON.stringify(options), HOOK: hook, KUBERNETES_SERVICE_HOST: undefined }
  })
  const told = (type: string): Promise<any> => started.message(message => message.type === type)
  const { port } = await told('listening')
  const client = (): Promise<RawClient> => rawClient(t, { host: '127.0.0.1', port })

  return Object.assign(Object.create(started), {
    told,
    client,
    async asking (path: string) {
      const asking = await client()
      asking.write(request(path))
      await told('request')
      return asking
    },
    logged: () => started.lines.filter(line => line.startsWith('{')).map(line => JSON.parse(line))
  })
}

/** The client closes when the server has; resolves with the error code, if any. */
export async function closesToo (client: RawClient): Promise<string | null> {
  await client.fin().catch(() => {})
  client.halfClose()
  return client.closed()
}
