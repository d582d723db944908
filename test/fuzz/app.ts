import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { deferred, testApp } from '../helpers/app.ts'
import { servers, type Server } from '../helpers/servers.ts'
import type { Sequence } from './sequence.ts'

interface Teardown { teardown (fn: () => unknown): void }

// What the plugin may log above debug, whatever its peers do.
const usual = [/^drain \(fuzz\): /, /^drain \(app\.close\(\)\): /, /^drain: .* left$/, /^drain: closed after /]

/** The server's side: handlers wait for the word of the sequence, not for a time. */
export interface FuzzApp {
  app: FastifyInstance
  server: Server
  port: number
  /** Which requests have reached their handlers. */
  executed: Set<string>
  /** What was logged that is not usual. */
  told: string[]
  /** The handler of this request will wait until `letGo()`. */
  hold (id: string): void
  letGo (id: string): void
}

export async function fuzzApp (t: Teardown, { server: name, options }: Sequence): Promise<FuzzApp> {
  const server = servers[name]
  const executed = new Set<string>()
  const told: string[] = []
  const gates = new Map<string, ReturnType<typeof deferred<void>>>()
  const logger = { level: 'debug', stream: { write: (line: string) => { note(JSON.parse(line)) } } }
  const { app, listen } = await testApp(t, options, { ...server.options, logger } as FastifyServerOptions)
  const run = ({ headers }: FastifyRequest): string => {
    executed.add(String(headers['id']))
    return `[${headers['id']}]`
  }
  const wait = async ({ headers }: FastifyRequest): Promise<void> => gates.get(String(headers['id']))?.promise

  routes(app, run, wait)
  if (server.name !== 'h2c') await upgrades(app)
  const { port } = await listen()
  return {
    app,
    server,
    port,
    executed,
    told,
    hold (id) { gates.set(id, deferred()) },
    letGo (id) { gates.get(id)?.resolve() }
  }

  function note ({ level, msg = '' }: { level: number, msg?: string }): void {
    if (level > 20 && msg.startsWith('drain') && !usual.some(pattern => pattern.test(msg))) told.push(`logged: ${msg}`)
  }
}

type Run = (request: FastifyRequest) => string
type Wait = (request: FastifyRequest) => Promise<void>

/** Each notes that it was executed, and answers with the id of the request. */
function routes (app: FastifyInstance, run: Run, wait: Wait): void {
  const stream = (headers: Record<string, string>, untilDrain: boolean) => (request: FastifyRequest, reply: FastifyReply): void => {
    const answer = run(request)
    reply.hijack()
    reply.raw.on('error', () => {})
    reply.raw.writeHead(200, request.raw.httpVersionMajor === 1 ? headers : { 'content-type': headers['content-type'] ?? 'text/plain' })
    reply.raw.write(': head\n\n')
    const end = (): void => { reply.raw.end(answer) }
    wait(request).then(end, () => {})
    if (!untilDrain) return
    if (app.drain.signal.aborted) end()
    else app.drain.signal.addEventListener('abort', end)
  }
  app.get('/now', async request => run(request))
  app.get('/close', async (request, reply) => {
    if (request.raw.httpVersionMajor === 1) reply.header('connection', 'close')
    return run(request)
  })
  app.get('/empty', async (request, reply) => {
    run(request)
    return reply.code(204).send()
  })
  app.get('/throw', async request => { throw new Error(run(request)) })
  app.get('/big', async request => run(request).padEnd(1_000_000, '.'))
  // For those who break the rules.
  app.get('/slow', async request => {
    await sleep(30)
    return run(request)
  })
  app.get('/held', async request => {
    const answer = run(request)
    await wait(request)
    return answer
  })
  app.get('/stream', stream({ connection: 'keep-alive' }, false))
  app.get('/events', stream({ 'content-type': 'text/event-stream' }, true))
  app.post('/echo', async request => run(request))
  app.post('/early', { onRequest: async (request, reply) => reply.code(401).send(run(request)) }, async () => {})
}

async function upgrades (app: FastifyInstance): Promise<void> {
  await app.register(websocket)
  app.register(async scope => {
    scope.get('/ws', { websocket: true }, socket => {
      socket.on('error', () => {})
      socket.on('message', message => socket.send(message))
    })
  })
  app.server.on('connect', ({ url }: IncomingMessage, socket: Duplex) => {
    if (!socket.writable) return
    socket.on('error', () => {})
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
    socket.on('data', bytes => { if (socket.writable) socket.write(bytes) })
    socket.on('end', () => socket.end())
    if (url === 'closer:1') app.drain.onUpgradeClose(socket, () => { socket.end('bye') })
  })
}
