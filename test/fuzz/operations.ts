import fc, { type Arbitrary } from 'fast-check'
import { handshake } from '../helpers/websocket.ts'
import { garbage, random } from '../helpers/fuzz-random.ts'
import { servers, type Server } from '../helpers/servers.ts'
import type { Peer, PeerOptions, Upgrade } from './peer.ts'
import { deedsAgainst } from './rude.ts'
import type { Sequence } from './sequence.ts'

/*
 * What can be done, each with its parameters, when it makes sense, and how it is done. An operation that makes no sense when its
 * turn comes is left out, so that whatever is removed from a sequence, the rest can be run.
 */

export interface Operation {
  do: string
  client?: number
  [parameter: string]: unknown
}

/** What an operation of a client may ask of the run. */
export interface Deed {
  /** Sends a request, or prepares it. */
  ask (peer: Peer, route: string, options?: { headers?: Record<string, string>, upload?: boolean, send?: boolean }): ReturnType<Peer['client']['prepare']>
  letGo (peer: Peer): void
}

type Parameters = Record<string, Arbitrary<unknown>>

interface Definition {
  /** How often it is drawn. */
  weight: number
  parameters?: Parameters
  /** A client that has no connection, or one that is over, connects for it. */
  begins?: true
  /** Of which clients it makes sense; everywhere if it is left out. */
  on?: 'http1' | 'http2' | 'tls'
  can (peer: Peer): boolean
  run (peer: Peer, parameters: any, deed: Deed): void
}

const route = fc.constantFrom('/now', '/held', '/held', '/stream', '/events', '/throw', '/empty', '/close', '/big')

/** Of the routes whose handlers wait. */
export const heldRoutes: readonly string[] = ['/held', '/stream', '/events']

export const clientOperations: Record<string, Definition> = {
  request: {
    weight: 12,
    begins: true,
    parameters: { route, asksClose: fc.constantFrom(false, false, false, true) },
    can: peer => peer.canAsk,
    run (peer, { route, asksClose }, { ask }) {
      const closes = asksClose && !peer.isHttp2
      ask(peer, route, closes ? { headers: { connection: 'close' } } : {})
      peer.hasAskedForClose ||= closes
    }
  },
  'two at once': {
    weight: 4,
    begins: true,
    parameters: { routes: fc.tuple(route, route) },
    can: peer => peer.canAsk,
    run (peer, { routes: [first, second] }, { ask }) {
      const bytes = [ask(peer, first, { send: false }).bytes, ask(peer, second, { send: false }).bytes]
      peer.wire.write(Buffer.concat(bytes))
    }
  },
  'half a head': {
    weight: 5,
    begins: true,
    on: 'http1',
    parameters: { bytes: fc.integer({ min: 1, max: 40 }) },
    can: peer => peer.canAsk,
    run (peer, { bytes: at }, { ask }) {
      const { bytes } = ask(peer, '/now', { send: false })
      const asked = peer.asked.at(-1)
      if (asked === undefined) return
      peer.rest = { bytes: bytes.subarray(at), asked }
      peer.wire.write(bytes.subarray(0, at))
    }
  },
  'the rest of the head': {
    weight: 10,
    on: 'http1',
    can: peer => peer.canTalk && peer.rest !== null,
    run (peer) { sendRest(peer) }
  },
  upload: {
    weight: 6,
    begins: true,
    parameters: { route: fc.constantFrom('/echo', '/echo', '/early'), chunked: fc.boolean(), expects: fc.constantFrom(false, false, true) },
    can: peer => peer.canAsk,
    run (peer, { route, chunked, expects }, { ask }) {
      const length = chunked || peer.isHttp2 ? {} : { 'content-length': '8' }
      ask(peer, route, { upload: true, headers: { 'content-type': 'text/plain', ...length, ...expects && !peer.isHttp2 ? { expect: '100-continue' } : {} } })
    }
  },
  'a piece of the body': {
    weight: 9,
    can: peer => peer.canTalk && uploadOf(peer)?.hasPiece === false,
    run (peer) {
      const upload = uploadOf(peer)
      if (upload === undefined) return
      upload.hasPiece = true
      upload.exchange.write('abcd')
    }
  },
  'the rest of the body': {
    weight: 11,
    can: peer => peer.canTalk && uploadOf(peer) !== undefined,
    run (peer) { finishUpload(peer) }
  },
  answer: {
    weight: 12,
    can: peer => peer.open.some(({ held }) => held),
    run (peer, _, { letGo }) { letGo(peer) }
  },
  trifle: {
    weight: 2,
    begins: true,
    can: peer => peer.canTalk && (peer.isHttp2 || (peer.canAsk && peer.open.length === 0)),
    run (peer) {
      peer.hasFidgeted = true
      peer.wire.write(peer.client.trifle)
    }
  },
  'go on with the handshake': {
    weight: 8,
    on: 'tls',
    can: peer => !peer.isSecured && !peer.isOver,
    run (peer) { peer.release() }
  },
  FIN: {
    weight: 2,
    can: peer => peer.canTalk && peer.isSecured,
    run (peer) { peer.end() }
  },
  RST: {
    weight: 2,
    can: peer => !peer.hasReset && !peer.isGone,
    run (peer) {
      peer.hasReset = true
      peer.wire.raw.reset()
    }
  },
  'stop reading': {
    weight: 3,
    can: peer => !peer.isPaused && peer.isSecured && !peer.sawEnd,
    run (peer) { peer.pause() }
  },
  'read on': {
    weight: 7,
    can: peer => peer.isPaused,
    run (peer) { peer.resume() }
  },
  upgrade: {
    weight: 7,
    begins: true,
    on: 'http1',
    parameters: { to: fc.constantFrom('websocket', 'websocket', 'tunnel with closer', 'tunnel') },
    can: peer => peer.canAsk && peer.open.length === 0 && !peer.client.isTold,
    run (peer, { to }) {
      const head = to === 'websocket' ? handshake('/ws') : `CONNECT ${to === 'tunnel' ? 'plain' : 'closer'}:1 HTTP/1.1\r\nhost: a\r\n\r\n`
      peer.begin(to as Upgrade, head)
    }
  },
  message: {
    weight: 9,
    on: 'http1',
    can: peer => peer.canTalk && peer.isUpgraded() && !peer.hasClosedWebSocket,
    // A text frame, and a mask of zeros; to a tunnel it is the same.
    run (peer) { peer.wire.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])) }
  },
  'close frame': {
    weight: 7,
    on: 'http1',
    can: peer => peer.upgrade === 'websocket' && peer.canTalk && peer.isUpgraded() && !peer.hasClosedWebSocket,
    run (peer) { peer.closeWebSocket() }
  },
  'reset a stream': {
    weight: 6,
    on: 'http2',
    can: peer => peer.canTalk && peer.open.length > 0,
    run (peer) {
      const asked = peer.open[0]
      if (asked === undefined) return
      asked.cancelled = true
      peer.http2.reset(asked.exchange)
    }
  },
  PING: {
    weight: 2,
    begins: true,
    on: 'http2',
    can: peer => peer.canTalk,
    run (peer) { peer.pings.push(peer.http2.ping()) }
  },
  PONG: {
    weight: 8,
    on: 'http2',
    can: peer => peer.canTalk && peer.http2.pings > 0,
    run (peer) { peer.http2.pong() }
  },
  GOAWAY: {
    weight: 2,
    on: 'http2',
    can: peer => peer.canTalk && !peer.hasSaidGoaway,
    run (peer) {
      peer.hasSaidGoaway = true
      peer.http2.goaway()
    }
  },
  garbage: {
    weight: 1,
    parameters: { seed: fc.nat(9999) },
    can: peer => peer.canTalk && peer.isSecured,
    run (peer, { seed }) {
      peer.isRude = true
      peer.wire.write(garbage(random(seed), 1 + seed % 300))
    }
  }
}

function uploadOf (peer: Peer): Peer['asked'][number] | undefined {
  // Nothing more is wanted of a stream that is over.
  return peer.asked.find(({ isUpload, cancelled, exchange }) => isUpload && !cancelled && (!peer.isHttp2 || exchange.end === 'open'))
}

/** Of all that is not complete the first one. */
export function finishUpload (peer: Peer): boolean {
  const upload = uploadOf(peer)
  if (upload === undefined) return false
  upload.isUpload = false
  upload.exchange.finish(upload.hasPiece ? 'efgh' : 'abcdefgh')
  return true
}

export function sendRest (peer: Peer): void {
  if (peer.rest === null) return
  const { bytes } = peer.rest
  peer.rest = null
  peer.wire.write(bytes)
}

/** Whether it makes sense of a client of this server. */
export function fits ({ on }: Definition, { isHttp2, isSecure }: Server): boolean {
  if (on === undefined) return true
  return on === 'tls' ? isSecure : (on === 'http2') === isHttp2
}

function operation (name: string, parameters: Parameters = {}): Arbitrary<Operation> {
  return fc.record({ do: fc.constant(name), ...parameters }) as Arbitrary<Operation>
}

/** All that can be done on this server by so many clients. */
export function operationsOn (server: Sequence['server'], clients: number): Arbitrary<Operation> {
  const { isSecure } = servers[server]
  const [http1, http2] = [server !== 'h2c', server === 'h2c' || server === 'h2']
  const client = fc.nat(clients - 1)
  const possible = Object.entries(clientOperations).filter(([, { on }]) =>
    on === undefined || (on === 'tls' && isSecure) || (on === 'http1' && http1) || (on === 'http2' && http2))
  return fc.oneof(
    ...possible.map(([name, { weight, parameters }]) => ({ weight, arbitrary: operation(name, { client, ...parameters }) })),
    {
      weight: 5,
      arbitrary: operation('connect', {
        client,
        handshake: isSecure ? fc.constantFrom<PeerOptions['handshake']>('whole', 'whole', 'begun', 'none') : fc.constant('whole'),
        closesAfter: fc.constantFrom(0, 0, 10, 400),
        ignoresPing: http2 ? fc.constantFrom(false, false, true) : fc.constant(false)
      })
    },
    { weight: 14, arbitrary: operation('wait', { for: fc.constant('rest') }) },
    { weight: 3, arbitrary: operation('wait', { for: fc.constant('turn') }) },
    { weight: 3, arbitrary: operation('wait', { for: fc.constant('ms'), ms: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 3, arbitrary: operation('wait', { for: fc.constant('draining') }) },
    { weight: 2, arbitrary: operation('wait', { for: fc.constant('edge of the grace'), us: fc.integer({ min: -300, max: 300 }) }) },
    { weight: 1, arbitrary: operation('wait', { for: fc.constant('deadline') }) },
    { weight: 4, arbitrary: operation('drain', { how: fc.constantFrom('begin', 'close') }) },
    { weight: 1, arbitrary: operation('rude', { deed: fc.constantFrom(...Object.keys(deedsAgainst({ secure: isSecure, http1, http2 }))), seed: fc.nat(9999) }) }
  )
}
