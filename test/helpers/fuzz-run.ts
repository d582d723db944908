import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, testApp } from './app.ts'
import { answered, http1Client, type FuzzClient } from './fuzz-client.ts'
import { http2Client } from './fuzz-http2.ts'
import { random } from './fuzz-random.ts'
import { rudeClient } from './fuzz-rude.ts'
import { connectWire, fuzzServers, type FuzzServer } from './fuzz-servers.ts'

// Who keeps the rules is never cut, however slow the machine is; who breaks them need not be waited for.
const deadlines = { polite: 15_000, rude: 3000 }

// How late a timer may be on a machine that is busy with other things, in ms.
const margin = 3000

// What the plugin may log above debug, whatever its peers do.
const usual = [/^drain \(fuzz\): /, /^drain: .* left$/, /^drain: closed after /]

export interface FuzzRun {
  /** What went wrong; empty: nothing. */
  wrong: string[]
  server: string
  /** How many clients there were, those that were left out included. */
  clients: number
  executed: number
}

/** Routes that note which requests were executed, and whose answers end with the id of the request. */
function routes (app: FastifyInstance, executed: Set<string>): void {
  const run = ({ headers }: FastifyRequest): string => {
    executed.add(String(headers['id']))
    return `[${headers['id']}]`
  }
  const wait = ({ headers }: FastifyRequest): Promise<void> => sleep(Number(headers['ms'] ?? 30))
  app.get('/now', async request => run(request))
  app.get('/slow', async request => {
    const answer = run(request)
    await wait(request)
    return answer
  })
  app.get('/stream', (request, reply) => {
    const answer = run(request)
    reply.hijack()
    reply.raw.writeHead(200, request.raw.httpVersionMajor === 1 ? { Connection: 'keep-alive' } : {})
    reply.raw.write('head ')
    wait(request).then(() => reply.raw.end(answer), () => {})
  })
  app.get('/throw', async request => { throw new Error(run(request)) })
  app.post('/echo', async request => run(request))
  app.post('/early', { onRequest: async (request, reply) => reply.code(401).send(run(request)) }, async () => {})
}

async function webSockets (app: FastifyInstance): Promise<void> {
  await app.register(websocket)
  app.register(async scope => {
    scope.get('/ws', { websocket: true }, socket => {
      socket.on('error', () => {})
      socket.on('message', message => socket.send(message))
    })
  })
}

/** Random clients against a drain that begins at a random moment. `without`: clients to leave out. */
export async function fuzzRun (seed: number, without: ReadonlySet<number> = new Set()): Promise<FuzzRun> {
  const { int, pick } = random(seed)
  const server = fuzzServers[seed % fuzzServers.length] as FuzzServer
  const isRude = pick([true, true, false])
  const hardStopAfter = isRude ? deadlines.rude : deadlines.polite
  const executed = new Set<string>()
  const told: string[] = []
  const logger = { level: 'debug', stream: { write: (line: string) => { note(JSON.parse(line)) } } }
  const { app, listen } = await testApp({ teardown: () => {} }, {
    idleGrace: pick([0, 20, 60]),
    peerCloseTimeout: pick([0, 20, 50]),
    shutdownDelay: pick([0, 0, 40]),
    closeSpread: pick([0, 40]),
    lingerTimeout: 80,
    lingerTime: 160,
    hardStopAfter,
    hardStop: pick(['destroy', 'reset'])
  }, { ...server.options, logger })
  routes(app, executed)
  if (server.http1) await webSockets(app)
  const { port } = await listen()

  const clients = Array.from({ length: int(1, 8) }, (_, i) => ({ rude: isRude && int(0, 2) > 0, name: `${seed}.${i}`, i }))
    .filter(({ i }) => !without.has(i))
    .map(({ rude, name, i }) => rude ? rudeClient(port, server, random(seed * 100 + i)) : politeClient(port, server, name, seed * 100 + i))
  await sleep(int(0, 150))
  const began = performance.now()
  const report = await app.drain.begin('fuzz')
  const took = performance.now() - began
  const polite = clients.filter(({ rude }) => !rude)
  await Promise.all(polite.map(({ done }) => done))
  // What was sent before the last FIN may still be on its way to the client.
  await eventually(() => polite.every(({ ended }) => ended), 'every client sees the end')

  const { total, ...outcomes } = report.connections
  const wrong = [...told, ...polite.flatMap(client => complaints(client, executed, outcomes['timed-out'] + outcomes.cut))]
  if (Object.values(outcomes).reduce((sum, count) => sum + count) !== total) wrong.push(`the report does not add up: ${JSON.stringify(report.connections)}`)
  if (outcomes.cut > 0 && !isRude) wrong.push(`a connection was cut although every request ends: ${JSON.stringify(report.stragglers)}`)
  if (took > hardStopAfter + margin) wrong.push(`the drain took ${took} ms`)
  if (Object.values(app.drain.connections).some(count => count > 0)) wrong.push(`something leaked: ${JSON.stringify(app.drain.connections)}`)
  for (const client of clients) client.destroy()
  await Promise.all(clients.map(({ done }) => done))
  const who = clients.map(({ log }) => log.join(' ')).join('; ')
  return { wrong: wrong.map(text => `${server.name}: ${text} (clients: ${who})`), server: server.name, clients: clients.length + without.size, executed: executed.size }

  function note ({ level, msg = '' }: { level: number, msg?: string }): void {
    if (level > 20 && msg.startsWith('drain') && !usual.some(pattern => pattern.test(msg))) told.push(`logged: ${msg}`)
  }
}

function politeClient (port: number, server: FuzzServer, name: string, seed: number): FuzzClient {
  const numbers = random(seed)
  const speaksHttp2 = server.http2 && (!server.http1 || numbers.int(0, 1) === 1)
  return speaksHttp2 ? http2Client(port, server, name, numbers) : http1Client(connectWire(port, server, 'http/1.1'), name, numbers)
}

/** What a client that kept the rules can complain of. `gaveUp`: how many connections the server closed before their time. */
function complaints (client: FuzzClient, executed: Set<string>, gaveUp: number): string[] {
  if (client.rude) return []
  return [
    ...client.ids.filter(id => executed.has(id) && !answered(client, id)).map(id => `${id} was executed but not answered`),
    ...client.error === 'ECONNRESET' && gaveUp === 0 ? ['RST before the deadline'] : [],
    ...client.received.includes(' 503 ') ? ['503'] : []
  ].map(text => `${text}; the client did ${client.log.join(', ')}, and received ${JSON.stringify(client.received.slice(-300))}`)
}

/** Leaves out one client after the other, as long as it still goes wrong; resolves with the clients that are left. */
export async function shrink (seed: number, count: number, tries = 2): Promise<number[]> {
  const without = new Set<number>()
  for (let i = 0; i < count; i++) {
    without.add(i)
    let fails = false
    for (let n = 0; n < tries && !fails; n++) fails = (await fuzzRun(seed, without)).wrong.length > 0
    if (!fails) without.delete(i)
  }
  return Array.from({ length: count }, (_, i) => i).filter(i => !without.has(i))
}
