/*
 *   const service = await startService(t, { kind: 'http', versions: 3 })      // the first version listens, on service.port
 *   await service.restart(); await service.restart()                         // the next listens, then SIGTERM to the oldest
 *   const ledger = await service.stop()                                      // what all versions received and executed, by id
 *
 * GET /items/<id> answers <id>, POST /items/<id> answers the body. A proxy is put before service.port; pages and other routes
 * come from a module: `routes: new URL('browser-routes.ts', import.meta.url)`, `export default (app, enter) => {...}`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DrainReport, FastifyDrainOptions } from '../../index.ts'
import { startProcess, type StartedProcess } from '../helpers/process.ts'
import { Ledger } from './ledger.ts'

/** `https` speaks HTTP/1.1 only; `h2` is HTTP/2 over TLS with ALPN falling back to HTTP/1.1. */
export type ServerKind = 'http' | 'https' | 'h2c' | 'h2'

export interface Teardown { teardown (fn: () => unknown): void }

export interface ServiceOptions {
  kind: ServerKind
  /** How many processes there will be, one after the other; all are loaded before the first one listens. */
  versions: number
  /** How long a request takes at most, in ms. */
  work?: number
  /** On top of `reusePort: true`. */
  options?: FastifyDrainOptions
  /** A module that adds routes. */
  routes?: URL
}

export interface Stopped {
  code: number | null
  signal: NodeJS.Signals | null
  /** From the signal to the exit. */
  ms: number
  report: DrainReport
}

export interface Service {
  readonly kind: ServerKind
  readonly port: number
  /** Such as `https://127.0.0.1:8443`. */
  readonly origin: string
  /** Its certificate, as a file that clients can be told to trust. */
  readonly ca: string
  /** The next version takes over; resolves when the process of the one before has ended. */
  restart (): Promise<Stopped>
  /** SIGTERM to the last version; resolves with the ledger of all when it has ended. */
  stop (): Promise<Ledger>
  /** What all versions have done so far. */
  ledger (): Ledger
  /** stderr of all versions so far. */
  readonly stderr: string
}

export async function startService (t: Teardown, { kind, versions, work = 5, options = {}, routes }: ServiceOptions): Promise<Service> {
  const folder = mkdtempSync(join(tmpdir(), 'interop-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const ledgers = Array.from({ length: versions }, (_, i) => join(folder, `version-${i + 1}`))
  for (const file of ledgers) writeFileSync(file, '')
  const processes = ledgers.map(file => startProcess(t, new URL('server.ts', import.meta.url), {
    env: {
      KIND: kind, LEDGER: file, OPTIONS: JSON.stringify(options), ROUTES: routes?.href ?? '', WORK: String(work), KUBERNETES_SERVICE_HOST: undefined
    }
  }))
  await Promise.all(processes.map(each => each.message(({ type }) => type === 'loaded')))

  const listen = async ({ child, message }: StartedProcess, port: number): Promise<number> => {
    child.send({ port })
    return (await message(({ type }) => type === 'listening')).port
  }
  let current = 0
  const port = await listen(processes[0]!, 0)

  return {
    kind,
    port,
    origin: `${isSecure(kind) ? 'https' : 'http'}://127.0.0.1:${port}`,
    ca: fileURLToPath(new URL('../fixtures/tls/cert.pem', import.meta.url)),
    get stderr () { return processes.map(each => each.stderr).join('') },
    ledger: () => new Ledger(ledgers),
    async restart () {
      const next = processes[current + 1]
      if (next === undefined) throw new Error(`this service has ${versions} versions only`)
      await listen(next, port)
      const stopped = await terminate(processes[current]!)
      current++
      return stopped
    },
    async stop () {
      await terminate(processes[current]!)
      return new Ledger(ledgers)
    }
  }
}

async function terminate ({ child, message, exited }: StartedProcess): Promise<Stopped> {
  const started = performance.now()
  child.kill('SIGTERM')
  const { report } = await message(({ type }) => type === 'report')
  const { code, signal, at } = await exited
  return { code, signal, ms: Math.round(at - started), report }
}

export function isSecure (kind: ServerKind): boolean {
  return kind === 'https' || kind === 'h2'
}
