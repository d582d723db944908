import t from 'tap'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, testApp } from './helpers/app.ts'
import { answered, fuzzClient } from './helpers/fuzz-client.ts'
import { random } from './helpers/fuzz-random.ts'

// Random clients against a drain that begins at a random moment. To look at one run again: FUZZ_SEED=1234 FUZZ_RUNS=1.
const firstSeed = Number(process.env['FUZZ_SEED'] ?? 1)
const runs = Number(process.env['FUZZ_RUNS'] ?? 150)
const atOnce = 6
const hardStopAfter = 3000

/** Routes that note which requests were executed, and whose answers end with the id of the request. */
function routes (app: FastifyInstance, executed: Set<string>): void {
  const run = ({ headers }: FastifyRequest): string => {
    executed.add(String(headers['id']))
    return `[${headers['id']}]`
  }
  const wait = ({ headers }: FastifyRequest): Promise<void> => sleep(Number(headers['ms']))
  app.get('/now', async request => run(request))
  app.get('/slow', async request => {
    const answer = run(request)
    await wait(request)
    return answer
  })
  app.get('/stream', (request, reply) => {
    const answer = run(request)
    reply.hijack()
    reply.raw.writeHead(200, { Connection: 'keep-alive' })
    reply.raw.write('head ')
    wait(request).then(() => reply.raw.end(answer), () => {})
  })
  app.get('/throw', async request => { throw new Error(run(request)) })
  app.post('/echo', async request => run(request))
  app.post('/early', { onRequest: async (request, reply) => reply.code(401).send(run(request)) }, async () => {})
}

async function drainAtRandom (t: Tap, seed: number): Promise<string[]> {
  const { int, pick } = random(seed)
  const executed = new Set<string>()
  const { app, listen } = await testApp(t, {
    idleGrace: pick([0, 20, 60]),
    peerCloseTimeout: pick([0, 20, 50]),
    shutdownDelay: pick([0, 0, 40]),
    closeSpread: pick([0, 40]),
    lingerTimeout: 80,
    lingerTime: 160,
    hardStopAfter
  })
  routes(app, executed)
  const { port } = await listen()

  const clients = Array.from({ length: int(1, 8) }, (_, i) => fuzzClient(port, `${seed}.${i}`, random(seed * 100 + i)))
  await sleep(int(0, 150))
  const report = await app.drain.begin('fuzz')
  await Promise.all(clients.map(({ done }) => done))
  // What was sent before the last FIN may still be on its way to the client.
  const polite = clients.filter(({ reset }) => !reset)
  await eventually(() => polite.every(({ socket, error }) => socket.readableEnded || socket.destroyed || error !== null), 'every client sees the end')

  const { total, ...outcomes } = report.connections
  const wrong = polite.flatMap(client => [
    ...client.ids.filter(id => executed.has(id) && !answered(client, id)).map(id => `${id} was executed but not answered`),
    ...client.error === 'ECONNRESET' && outcomes['timed-out'] === 0 ? ['RST before the deadline'] : [],
    ...client.received.includes(' 503 ') ? ['503'] : []
  ].map(text => `${text}; the client did ${client.log.join(', ')}, and received ${JSON.stringify(client.received.slice(-300))}`))
  if (Object.values(outcomes).reduce((sum, count) => sum + count) !== total) wrong.push('the report does not add up')
  if (outcomes.cut > 0) wrong.push('a connection was cut although every request ends')
  if (report.duration > hardStopAfter) wrong.push(`the drain took ${report.duration} ms`)
  if (Object.values(app.drain.connections).some(count => count > 0)) wrong.push('a connection leaked')
  for (const { socket } of clients) socket.destroy()
  return wrong
}

type Tap = Parameters<typeof testApp>[0]

t.test(`no request is executed but unanswered in ${runs} random drains (seeds from ${firstSeed})`, { timeout: 600_000 }, async t => {
  let next = firstSeed
  const worker = async (): Promise<void> => {
    while (next < firstSeed + runs) {
      const seed = next++
      const wrong = await drainAtRandom({ teardown: () => {} }, seed)
      t.same(wrong, [], `seed ${seed}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
})
