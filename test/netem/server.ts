// Apps of one process, as its argument describes them, that a signal drains. Every request goes into the ledger first thing, so
// that it is there whatever way the process ends.
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { once } from 'node:events'
import { openSync, writeSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import drain, { type FastifyDrainOptions } from '../../index.ts'
import { readAll } from '../helpers/drain-slow.ts'
import { tlsOptions } from '../helpers/tls.ts'

export type Protocol = 'http' | 'https' | 'h2c' | 'h2'

export interface AppAt { protocol: Protocol, host: string, port: number }

export interface ServerDescription {
  /** A file that exists; ../interop/ledger.ts reads it. */
  ledger: string
  options: FastifyDrainOptions
  apps: AppAt[]
}

interface Params { id: string, number: string }

const kinds: Record<Protocol, object> = { http: {}, https: { https: tlsOptions }, h2c: { http2: true }, h2: { http2: true, https: tlsOptions } }
const { ledger, options, apps } = JSON.parse(process.argv[2] ?? '') as ServerDescription
const file = openSync(ledger, 'a')
const told: string[] = []
const listens: Array<() => Promise<unknown>> = []

for (const { protocol, host, port } of apps) {
  const app = Fastify({ ...kinds[protocol], logger: { level: 'warn', stream: { write: (line: string) => { told.push(line) } } } } as FastifyServerOptions) as unknown as FastifyInstance
  await app.register(drain, options)
  routes(app)
  app.drain.signal.addEventListener('abort', () => tell('began', { protocol, connections: app.drain.connections }))
  app.addHook('onClose', async () => tell('report', { protocol, report: app.drain.report, told }))
  listens.push(() => app.listen({ host, port }))
}
tell('loaded')
await once(process, 'message')
for (const listen of listens) await listen()
tell('listening')

function routes (app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => { done(null, payload) })
  app.get<{ Params: Params }>('/now/:id', async ({ params: { id } }) => {
    enter(id)
    return id
  })
  app.get<{ Params: Params }>('/late/:id/:number', async ({ params: { id, number: ms } }) => {
    enter(id)
    await sleep(Number(ms))
    return id
  })
  app.get<{ Params: Params }>('/bytes/:id/:number', async ({ params: { id, number } }) => {
    enter(id)
    return 'x'.repeat(Number(number) - id.length) + id
  })
  // Only our FIN ends it.
  app.get<{ Params: Params }>('/until-fin/:id/:number', async ({ params: { id, number: ms } }, reply) => {
    enter(id)
    reply.hijack()
    await sleep(Number(ms))
    reply.raw.useChunkedEncodingByDefault = false
    reply.raw.writeHead(200, { connection: 'close' })
    reply.raw.end(id)
  })
  app.post<{ Params: Params }>('/upload/:id', async ({ params: { id }, body }) => {
    enter(id)
    const { bytes, end } = await readAll(body as Readable)
    return `${bytes} ${end} ${id}`
  })
}

function enter (id: string): void {
  writeSync(file, `executed ${id}\n`)
}

function tell (type: string, more: object = {}): void {
  process.send?.({ type, ...more })
}
