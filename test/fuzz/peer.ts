import type { ConnectionState, DrainPhase } from '../../index.ts'
import type { Exchange } from '../helpers/exchange.ts'
import { http1Client } from '../helpers/http1-client.ts'
import { http2Client, type Http2Client } from '../helpers/http2-client.ts'
import { servers, type Client, type Server, type ServerName } from '../helpers/servers.ts'
import { takeFrames, type Frame } from '../helpers/websocket.ts'
import { plainWire, secureWire, type SecureWire, type Wire } from '../helpers/wire.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** A request that was sent, and what is known of it. */
export interface Asked {
  id: string
  route: string
  exchange: Exchange
  sentAt: number
  /** The phase in which it was sent. */
  phase: DrainPhase
  /** Its handler waits to be let go. */
  held: boolean
  /** The body is not complete. */
  isUpload: boolean
  /** A piece of it was sent. */
  hasPiece: boolean
  /** The client has given it up itself. */
  cancelled: boolean
  /** One before it has asked for a close, or is answered with one: Node drops the answers behind it. */
  isBehindClose: boolean
  /** When it was sent nothing else was open. */
  alone: boolean
  /** The whole answer had come when the drain began. */
  endedBefore: boolean
}

export interface PeerOptions {
  /** How far the TLS handshake gets at first. */
  handshake: 'whole' | 'begun' | 'none'
  /** How long after the server's FIN its own goes out, in ms. */
  closesAfter: number
  ignoresPing: boolean
}

export const usualPeer: PeerOptions = { handshake: 'whole', closesAfter: 0, ignoresPing: false }

export type Upgrade = 'websocket' | 'tunnel' | 'tunnel with closer'

/** One connection, as its client knows it: what it did, what came of it, and in which states the server must have it. */
export class Peer {
  readonly server: Server
  readonly wire: Wire
  readonly client: Client
  readonly asked: Asked[] = []
  /** When it began to connect: the server accepts it later than that, and sooner than its client may know. */
  readonly beganAt: number
  readonly port: number
  readonly pings: Array<() => boolean> = []
  /** The rest of a head of which a part was sent. */
  rest: { bytes: Buffer, asked: Asked } | null = null
  upgrade: Upgrade | null = null
  #upgradedAt = 0
  /** The handshake is over, and nothing of it is held back. */
  isSecured: boolean
  #isReleased: boolean
  isPaused = false
  hasPaused = false
  /** It has sent a trifle, such as an empty line. */
  hasFidgeted = false
  hasSentFin = false
  /** Before the server's. */
  hasSentFinFirst = false
  hasReset = false
  hasSaidGoaway = false
  /** It has asked the server to close behind an answer. */
  hasAskedForClose = false
  hasClosedWebSocket = false
  /** Before the server did. */
  hasClosedWebSocketFirst = false
  /** It broke the rules: the server may do with it what it likes. */
  isRude = false
  /** When the server's FIN came; `null`: it has not. */
  finAt: number | null = null

  constructor (server: Server, wire: Wire, { closesAfter, ignoresPing, handshake }: PeerOptions, beganAt: number) {
    this.server = server
    this.beganAt = beganAt
    this.wire = wire
    this.client = server.isHttp2 ? http2Client(wire, { ignoresPing }) : http1Client(wire)
    const { socket } = wire.raw
    this.port = socket.localPort as number
    this.isSecured = !server.isSecure
    this.#isReleased = handshake === 'whole'
    if (server.isSecure) (wire as SecureWire).secured.then(() => { this.isSecured = this.#isReleased }, () => {})
    wire.onData(() => { if (this.upgrade === 'websocket') this.#answerClose() })
    socket.once('end', () => {
      this.finAt = performance.now()
      setTimeout(() => this.end(), closesAfter)
    })
    // Of TLS the end may come before the FIN.
    wire.socket.once('end', () => setTimeout(() => this.end(), closesAfter))
  }

  get isHttp2 (): boolean { return this.server.isHttp2 }

  /** The connection is over for good. */
  get isGone (): boolean {
    return this.wire.raw.socket.destroyed || this.wire.raw.error !== null
  }

  get sawEnd (): boolean {
    return this.wire.sawEnd || this.wire.raw.sawFin || this.isGone
  }

  /** One side has ended it. */
  get isOver (): boolean {
    return this.sawEnd || this.hasSentFin || this.hasReset
  }

  /** It can still send something that makes sense. */
  get canTalk (): boolean {
    return !this.isOver && this.wire.socket.writable
  }

  /** It can begin a request. */
  get canAsk (): boolean {
    if (!this.canTalk || this.rest !== null || this.upgrade !== null) return false
    return !this.client.isTold && (this.isHttp2 ? !this.hasSaidGoaway : !this.hasAskedForClose && !this.asked.some(({ isUpload }) => isUpload))
  }

  get open (): Asked[] {
    return this.asked.filter(({ exchange, cancelled }) => exchange.end === 'open' && !cancelled)
  }

  get upload (): Asked | undefined {
    return this.open.find(({ isUpload }) => isUpload)
  }

  /** Those whose end nobody has to help to. */
  get awaited (): Asked[] {
    if (!this.isSecured || this.isPaused || this.hasReset || this.isRude || (this.isHttp2 && this.hasSentFin)) return []
    // Behind one that takes its time others wait as well.
    const stuck = this.isHttp2 ? -1 : this.open.findIndex(asked => asked.held || asked.isUpload || this.rest?.asked === asked)
    return this.open.filter((asked, i) => !asked.held && !asked.isUpload && (stuck === -1 || i < stuck))
  }

  /** Its last word was half a head, or half a body: it has given up, and the server may do so, too (RFC 9112 section 8). */
  get hasBrokenOff (): boolean {
    return this.hasSentFin && (this.rest !== null || (!this.isHttp2 && this.asked.some(({ isUpload }) => isUpload)))
  }

  isUpgraded (): boolean {
    return this.upgrade !== null && /^HTTP\/1\.1 (?:101|200) /.test(this.wire.received.slice(this.#upgradedAt))
  }

  begin (upgrade: Upgrade, head: string): void {
    this.upgrade = upgrade
    this.#upgradedAt = this.wire.received.length
    this.wire.write(head)
  }

  /** The frames of a WebSocket. */
  get frames (): Frame[] {
    const bytes = this.wire.received.slice(this.#upgradedAt)
    const frames: Frame[] = []
    const end = bytes.indexOf('\r\n\r\n')
    if (end >= 0) takeFrames(Buffer.from(bytes.slice(end + 4), 'latin1'), frames)
    return frames
  }

  get closeCode (): number | null {
    const close = this.frames.find(({ opcode }) => opcode === 8)
    return close === undefined || close.payload.length < 2 ? null : close.payload.readUInt16BE(0)
  }

  #answerClose (): void {
    if (!this.hasClosedWebSocket && this.closeCode !== null && this.wire.socket.writable) this.closeWebSocket()
  }

  closeWebSocket (): void {
    this.hasClosedWebSocket = true
    this.hasClosedWebSocketFirst = this.closeCode === null
    // A close frame with the code 1000, and a mask of zeros.
    this.wire.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]))
  }

  pause (): void {
    this.isPaused = this.hasPaused = true
    this.wire.raw.socket.pause()
  }

  resume (): void {
    this.isPaused = false
    this.wire.raw.socket.resume()
  }

  /** Our side is over. */
  end (): void {
    if (this.hasSentFin || this.hasReset || this.wire.raw.socket.destroyed) return
    this.hasSentFin = true
    this.hasSentFinFirst = !this.sawEnd
    this.wire.end()
  }

  /** Goes on with the handshake. */
  async release (): Promise<void> {
    if (!('secured' in this.wire)) return
    this.#isReleased = true
    const { secured, release } = this.wire as SecureWire
    release()
    await secured.catch(() => {})
    this.isSecured = !this.sawEnd
  }

  get http2 (): Http2Client { return this.client as Http2Client }

  /** What has become of it. */
  inWords (): string {
    const { isSecured, isPaused, hasSentFin, hasReset, hasSaidGoaway, isRude, sawEnd, rest, upgrade } = this
    const flags = Object.entries({ 'no handshake': !isSecured, paused: isPaused, FIN: hasSentFin, RST: hasReset, GOAWAY: hasSaidGoaway, rude: isRude, 'half a head': rest !== null, 'saw the end': sawEnd })
    const asked = this.asked.map(({ id, route, exchange, held, isUpload, cancelled }) => `${id} ${route} ${exchange.end}${held ? ' held' : ''}${isUpload ? ' upload' : ''}${cancelled ? ' cancelled' : ''}`)
    return [this.server.name, ...flags.filter(([, isSo]) => isSo).map(([name]) => name), upgrade, this.wire.raw.error, ...asked].filter(text => text !== null).join(', ')
  }

  /** In which states the server may have this connection when everything has come to rest; the likeliest first. */
  states (phase: DrainPhase): ConnectionState[] {
    if (this.isRude || phase === 'aborting' || phase === 'closed') return ['closed', 'active', 'idle', 'new', 'upgraded', 'lingering']
    // Behind bytes a reset looks like the end to Node, and then the answer comes first; nor does it read behind the GOAWAY of a peer.
    if (this.hasReset) return this.hasSaidGoaway || this.asked.some(({ held }) => held) ? ['closed', 'active', 'lingering'] : ['closed']
    if (this.sawEnd) return this.isHttp2 || this.isPaused ? ['lingering', 'closed', 'idle', 'active'] : ['lingering', 'closed']
    if (!this.isSecured) return this.hasSentFin || phase === 'draining' ? ['new', 'lingering', 'closed'] : ['new']
    const mayGo = phase === 'draining' || (phase === 'lame-duck' && (this.isHttp2 || this.client.isTold)) || this.client.isTold || this.hasSentFin || this.hasSaidGoaway
    const base = this.#busyStates()
    // It has not read of the close, and what it sends behind that is not executed.
    const isUntold = this.isPaused && !this.isHttp2 && phase !== 'serving'
    return isUntold || (mayGo && base[0] !== 'active') ? [...base, 'lingering', 'closed'] : base
  }

  #busyStates (): ConnectionState[] {
    if (this.upgrade !== null) return this.isUpgraded() && !this.hasClosedWebSocket && !this.hasSentFin ? ['upgraded'] : ['upgraded', 'idle', 'lingering', 'closed']
    const { open } = this
    if (this.hasSentFin && this.rest !== null) return ['lingering', 'closed']
    // It does not read that an answer says close, and sends on what nobody will read.
    if (this.isPaused && !this.isHttp2 && open.some(({ route }) => route === '/close')) return ['active', 'lingering', 'closed']
    if (this.rest !== null) return ['active']
    if (this.hasSentFin && (this.isHttp2 || this.asked.some(({ isUpload }) => isUpload))) return ['closed', 'lingering', 'active', 'idle']
    if (this.hasSentFin && open.some(({ route }) => route === '/events')) return ['closed', 'lingering', 'active']
    if (open.some(({ held }) => held)) return ['active']
    // Answered before its body has come.
    if (this.asked.some(({ isUpload, cancelled }) => isUpload && !cancelled)) return this.isHttp2 ? ['idle', 'active'] : ['active']
    if (open.length > 0) return ['idle', 'active', 'lingering', 'closed']
    if (!this.isHttp2 && this.asked.length === 0) return this.hasFidgeted ? ['idle', 'new'] : ['new']
    // What comes with the end of the handshake counts as a part of it.
    return this.server.isSecure && this.asked.length === 0 ? ['idle', 'new'] : ['idle']
  }
}

export async function connectPeer (t: Teardown, name: ServerName, port: number, options: PeerOptions): Promise<Peer> {
  const server = servers[name]
  const to = { host: '127.0.0.1', port }
  const beganAt = performance.now()
  const flights = { whole: Infinity, begun: 1, none: 0 }[options.handshake]
  const wire = server.isSecure
    ? await secureWire(t, to, { flights, ALPNProtocols: [server.isHttp2 ? 'h2' : 'http/1.1'] })
    : await plainWire(t, to)
  return new Peer(server, wire, options, beganAt)
}
