import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import tls from 'node:tls'
import type { DrainReport, Straggler } from '../index.ts'
import { capture, missingForCapture, type Packet } from './helpers/capture.ts'
import { http2Get, http2Preface, http2SettingsAck } from './helpers/http2-bytes.ts'
import { startProcess, type StartedProcess } from './helpers/process.ts'
import { request } from './helpers/raw-client.ts'
import { socketStates, type SocketState } from './helpers/socket-states.ts'

const skip = missingForCapture()
if (skip !== false && process.env.CI === 'true') t.fail(skip)

type Kind = 'http' | 'https' | 'http2' | 'http2s'

/** What one connection is up to when the deadline comes. */
interface Case {
  /** As the report calls it. */
  state: Straggler['state']
  /** Sent by the client; without it the TLS handshake does not even begin. */
  bytes?: string | Buffer
  /** Where the request goes to whose handler has to run first. */
  path?: string
  /** What the client has to receive first. */
  answer?: RegExp
  /** The client stops reading. */
  deaf?: boolean
  /** Only the first flight of a TLS handshake is sent. */
  handshake?: boolean
  /** A FIN of ours comes before. */
  fin?: boolean
  /** There is data that the client does not take. */
  unsent?: boolean
}

const upgrade = (path: string): string => request(path, { headers: { connection: 'upgrade', upgrade: 'test' } })

// The drain closes what is quiet in this order, and its deadline comes when it has got to the second.
const http1Cases: Record<string, Case> = {
  'lingering, our FIN out': { state: 'lingering', bytes: request('/'), answer: /hello/, fin: true },
  'lingering, our FIN behind unsent data': { state: 'lingering', bytes: request('/megabyte'), path: '/megabyte', deaf: true, unsent: true },
  'active, slow handler': { state: 'active', bytes: request('/endless'), path: '/endless' },
  'active, half an answer': { state: 'active', bytes: request('/half'), answer: /half/ },
  'active, full send buffer': { state: 'active', bytes: request('/too-much'), path: '/too-much', deaf: true, unsent: true },
  'active, half-received request': { state: 'active', bytes: 'POST /endless HTTP/1.1\r\nho' },
  upgraded: { state: 'upgraded', bytes: upgrade('/'), answer: /^HTTP\/1.1 101/ },
  'upgraded, ended behind unsent data': { state: 'upgraded', bytes: upgrade('/ends'), deaf: true, unsent: true },
  new: { state: 'new' },
  idle: { state: 'idle', bytes: request('/'), answer: /hello/ }
}

const open = Buffer.concat([http2Preface(), http2SettingsAck()])
const get = (path: string): Buffer => Buffer.concat([open, http2Get(path)])
const http2Cases: Record<string, Case> = {
  'lingering, our FIN out': { state: 'lingering', bytes: get('/'), answer: /hello/, fin: true },
  'lingering, our FIN behind unsent data': { state: 'lingering', bytes: get('/megabyte'), path: '/megabyte', deaf: true, unsent: true },
  'active, slow handler': { state: 'active', bytes: get('/endless'), path: '/endless' },
  'active, half an answer': { state: 'active', bytes: get('/half'), answer: /half/ },
  'active, full send buffer': { state: 'active', bytes: get('/too-much'), path: '/too-much', deaf: true, unsent: true },
  new: { state: 'new' },
  // To Node a stream begins when its head is complete.
  'idle, half-received request': { state: 'idle', bytes: get('/').subarray(0, -4) },
  idle: { state: 'idle', bytes: get('/'), answer: /hello/ }
}

const handshake: Record<string, Case> = { 'new, TLS handshake in progress': { state: 'new', handshake: true } }

const casesOf: Record<Kind, Record<string, Case>> = {
  http: http1Cases,
  https: { ...http1Cases, ...handshake },
  // Told at the beginning: its client has let a quarter of the time go by without an answer to PING.
  http2: { ...http2Cases, idle: { ...http2Cases['idle'], state: 'lingering', fin: true } },
  http2s: { ...http2Cases, ...handshake }
}

// The deadline comes after the first two closes of idle connections, and before those of the last ones.
const times = { idleGrace: 1500, closeSpread: 2990, hardStopAfter: 3000, lingerTimeout: 10_000, lingerTime: 10_000 }

interface Server {
  pid: number
  ports: Record<Kind, number>
  /** Resolves when the handler of this request runs. */
  requested (kind: Kind, url: string): Promise<void>
  /** Begins the drain of all apps; resolves when all are closed. */
  drain (): Promise<{ reports: Record<Kind, DrainReport>, uncaught: string[] }>
}

async function startServer (t: Test, hardStop: 'reset' | 'destroy'): Promise<Server> {
  const options = JSON.stringify({ ...times, hardStop })
  const started: StartedProcess = startProcess(t, new URL('./fixtures/hard-stop-server.ts', import.meta.url), { args: [options] })
  const { ports } = await started.message(({ type }) => type === 'listening')
  return {
    pid: started.pid,
    ports,
    async requested (kind, url) {
      await started.message(message => message.type === 'request' && message.kind === kind && message.url === url)
    },
    drain () {
      started.child.send('drain')
      return started.message(({ type }) => type === 'drained')
    }
  }
}

interface Client extends Case {
  kind: Kind
  name: string
  port: number
  socket: Socket
  /** Resolves with `FIN`, or with the code of an error; never rejects. */
  ended: Promise<string>
  /** The code of the error, the first one. */
  failed: Promise<string>
  /** How many bytes were read. */
  readonly received: number
  /** The first of them. */
  readonly text: string
}

async function startClient (t: Test, server: Server, kind: Kind, name: string, { bytes, path, answer, deaf, handshake, ...rest }: Case): Promise<Client> {
  const to = { host: '127.0.0.1', port: server.ports[kind], allowHalfOpen: true }
  const overTls = kind.endsWith('s') && handshake !== true
  const socket = overTls
    ? tls.connect({ ...to, rejectUnauthorized: false, ...kind === 'http2s' ? { ALPNProtocols: ['h2'] } : {} })
    : connect(to)
  let received = 0
  let text = ''
  const failed = new Promise<string>(resolve => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
  const ended = Promise.race([failed, new Promise<string>(resolve => { socket.on('end', () => resolve('FIN')) })])
  t.teardown(() => socket.destroy())
  // A socket that is paused before it is connected reads nothing at all.
  if (deaf === true && !overTls) socket.pause()
  await once(socket, overTls ? 'secureConnect' : 'connect')
  if (deaf === true) socket.pause()
  socket.on('data', chunk => {
    received += chunk.length
    if (text.length < 1000) text += chunk.toString('latin1')
  })
  if (deaf === true) socket.pause()

  if (handshake === true) socket.write(await clientHello())
  else if (bytes !== undefined) socket.write(bytes)
  if (path !== undefined) await server.requested(kind, path)
  if (handshake === true) await once(socket, 'data')
  const isAnswered = (): boolean => answer === undefined || answer.test(text)
  while (!isAnswered()) await once(socket, 'data')

  const { localPort: port = 0 } = socket
  return { kind, name, port, socket, ended, failed, get received () { return received }, get text () { return text }, ...rest }
}

/** The first flight of a TLS client. */
function clientHello (): Promise<Buffer> {
  return new Promise(resolve => {
    const wire = new Duplex({ read () {}, write (bytes, _encoding, done) { resolve(bytes); done() } })
    tls.connect({ socket: wire, rejectUnauthorized: false }).on('error', () => {})
  })
}

function descriptors (pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

async function run (t: Test, hardStop: 'reset' | 'destroy') {
  const server = await startServer(t, hardStop)
  const ports = Object.values(server.ports)
  const before = descriptors(server.pid)
  const seen = await capture(t, { filter: ports.map(port => `tcp port ${port}`).join(' or ') })
  // One after the other, so that they are accepted in this order.
  const clients: Client[] = (await Promise.all(Object.entries(casesOf).map(async ([kind, cases]) => {
    const ofKind: Client[] = []
    for (const [name, each] of Object.entries(cases)) ofKind.push(await startClient(t, server, kind as Kind, name, each))
    return ofKind
  }))).flat()

  const drained = server.drain()
  const isOver = drained.then(() => true)
  // The last look at all of them before the deadline.
  let states: Array<SocketState | undefined> = []
  while (!await Promise.race([isOver, sleep(10, false)])) {
    const now = await socketStates(ports, 'server')
    // A client may use one port of its own to several ports of the server.
    const each = clients.map(({ kind, port }) => now.find(({ serverPort, clientPort }) => serverPort === server.ports[kind] && clientPort === port))
    if (each.every(socket => socket?.owned)) states = each
  }
  const { reports, uncaught } = await drained
  const drainedAt = Date.now()
  const left = descriptors(server.pid)
  for (const { socket } of clients) socket.resume()
  const ends = new Map(await Promise.all(clients.map(async client => [client, await Promise.race([
    hardStop === 'reset' ? brokenBy(client) : client.ended,
    sleep(5000, 'nothing', { ref: false })
  ])] as const)))
  const packets = await seen.stop()
  return { server, ports, clients, states, reports, uncaught, ends, packets, drainedAt, leaked: left - (before - ports.length) }
}

// libuv calls it the end, too, when it has read something and the connection is gone. The kernel knows better.
async function brokenBy ({ ended, failed, socket }: Client): Promise<string> {
  if (await ended === 'FIN') socket.write('?')
  return failed
}

function fromServer (packets: Packet[], { server }: { server: Server }, { kind, port }: Client): Packet[] {
  return packets.filter(({ from, to }) => from === `127.0.0.1:${server.ports[kind]}` && to === `127.0.0.1:${port}`)
}

t.test('the deadline comes while connections are in every state', { skip, timeout: 60_000 }, async t => {
  const [reset, destroyed] = await Promise.all([run(t, 'reset'), run(t, 'destroy')])

  await t.test("row 29: http, https, h2c, h2: with hardStop 'reset' there is an RST on the wire, in every state", async t => {
    for (const client of reset.clients) {
      const { kind, name, fin = false } = client
      const packets = fromServer(reset.packets, reset, client)
      const { flags = '', time = NaN } = packets.at(-1) ?? {}
      t.ok(flags.includes('R') && time <= reset.drainedAt, `${kind}, ${name}: the last packet is an RST`)
      t.equal(packets.filter(({ flags }) => flags.includes('R')).length, 1, `${kind}, ${name}: the only one`)
      t.equal(packets.some(({ flags }) => flags.includes('F')), fin, `${kind}, ${name}: ${fin ? 'after the FIN' : 'no FIN instead'}`)
      // After a FIN that is what RST is called.
      t.equal(reset.ends.get(client), fin ? 'EPIPE' : 'ECONNRESET', `${kind}, ${name}: what the client hears`)
    }
  })

  await t.test("row 29: http, https, h2c, h2: with hardStop 'reset' nothing is left behind", async t => {
    // Those of other tests can have the same ports, one side at a time.
    const isOurs = ({ serverPort, clientPort }: { serverPort: number, clientPort: number }): boolean =>
      reset.clients.some(({ kind, port }) => port === clientPort && reset.server.ports[kind] === serverPort)
    const left = [...await socketStates(reset.ports, 'server'), ...await socketStates(reset.ports, 'client')]
    t.same(left.filter(isOurs), [], 'no connection in TIME_WAIT or any other state')
    t.equal(reset.leaked, 0, 'no descriptor')
    t.same(reset.uncaught, [])
  })

  await t.test("with hardStop 'destroy' there is a FIN in its place", async t => {
    for (const client of destroyed.clients) {
      const { kind, name } = client
      const packets = fromServer(destroyed.packets, destroyed, client)
      t.notOk(packets.some(({ flags }) => flags.includes('R')), `${kind}, ${name}: no RST`)
      t.ok(packets.some(({ flags }) => flags.includes('F')), `${kind}, ${name}: FIN`)
      t.equal(destroyed.ends.get(client), 'FIN', `${kind}, ${name}: what the client hears`)
    }
    t.equal(destroyed.leaked, 0)
    t.same(destroyed.uncaught, [])
  })

  for (const [how, { clients, reports, states }] of Object.entries({ reset, destroyed })) {
    await t.test(`${how}: the report names what was cut, and what the peer has not acknowledged`, async t => {
      for (const [i, client] of clients.entries()) {
        const { kind, name, port, state, fin = false, unsent = false } = client
        const found = reports[kind].stragglers.find(({ remotePort }) => remotePort === port)
        t.match(found, { state, outcome: 'cut', error: null, remoteAddress: '127.0.0.1' }, `${kind}, ${name}`)
        const { state: tcpState, sendQueue = 0 } = states[i] ?? {}
        t.equal(tcpState, state !== 'lingering' ? 'ESTAB' : fin ? 'FIN-WAIT-2' : 'FIN-WAIT-1', `${kind}, ${name}: state of the socket`)
        // A FIN takes a place in the queue.
        const expected = sendQueue - (tcpState === 'FIN-WAIT-1' ? 1 : 0)
        t.equal(expected > 0, unsent, `${kind}, ${name}: ${unsent ? 'something' : 'nothing'} is unacknowledged`)
        t.equal(found?.unacknowledgedBytes, expected, `${kind}, ${name}: as ss has it`)
      }
      for (const kind of Object.keys(casesOf) as Kind[]) {
        t.match(reports[kind].connections, { total: Object.keys(casesOf[kind]).length, cut: Object.keys(casesOf[kind]).length }, kind)
      }
    })
  }

  await t.test('what is unacknowledged is what was sent and not received', async t => {
    const client = reset.clients.find(({ kind, name }) => kind === 'http' && name.includes('our FIN behind')) as Client
    const straggler = reset.reports.http.stragglers.find(({ remotePort }) => remotePort === client.port)
    const [head = ''] = /^.*?\r\n\r\n/s.exec(client.text) ?? []
    t.equal(client.received + (straggler?.unacknowledgedBytes ?? 0), head.length + 2 ** 20)
  })
})
