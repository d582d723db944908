import { Socket, type Server } from 'node:net'
import type { ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Clock } from './clock.ts'
import { lingeringClose, type LingerTimes } from './lingering-close.ts'
import { handleOf } from './os/handle.ts'
import type { Sockets } from './os/sockets.ts'
import * as http1 from './protocols/http1.ts'
import { Goaway } from './protocols/goaway.ts'
import type { Session } from './protocols/http2.ts'
import { restartReads } from './protocols/reads.ts'
import type { RequestLine } from './protocols/request-line.ts'
import type { UpgradeClosers } from './protocols/upgraded.ts'
import { sayGoingAway, webSocketOn } from './protocols/websocket.ts'

/**
 * - `new`: no byte has come yet, or the TLS handshake is not over; leaves with the first byte of HTTP.
 * - `active`: a request or stream is open, a half-received head included; leaves with the end of the answer.
 * - `idle`: between requests.
 * - `upgraded`: WebSocket, CONNECT: no longer HTTP.
 * - `lingering`: our FIN is out, what still arrives is discarded; leaves with the peer's FIN or a timeout.
 * - `closed`: gone.
 */
export type ConnectionState = 'new' | 'active' | 'idle' | 'upgraded' | 'lingering' | 'closed'

/**
 * How a connection ended during a drain.
 * - `peer-closed`: the peer's FIN, or its RST, came before our FIN.
 * - `half-closed`: our FIN, then the peer's.
 * - `timed-out`: our FIN, and no FIN of the peer, or no acknowledgement of what was sent, within the linger times.
 * - `cut`: it was still open at the deadline, or at a second signal.
 * - `handed-over`: a successor has it.
 * - `peer-lost`: the peer vanished without a word: TCP keepalive, or data that nobody acknowledged, found it out.
 * - `destroyed`: the application, or an error on this side, closed it.
 */
export type ConnectionOutcome = 'peer-closed' | 'half-closed' | 'timed-out' | 'cut' | 'handed-over' | 'peer-lost' | 'destroyed'

export interface ConnectionEnv {
  clock: Clock
  times: LingerTimes
  sockets: Sockets
  closers: UpgradeClosers
  /** The peer kept neither of the linger times; its socket will be closed after this call. */
  onTimedOut (connection: Connection): void
  /** It has sent its FIN. */
  onHalfClosed (connection: Connection): void
}

export interface Retirement {
  /** How long the peer may close first after an answer that said close, in ms. */
  peerCloseTimeout: number
  /** When an HTTP/2 session must be told at the latest that no further stream is served, on the clock, in ms. */
  lastCall: number
  /** How long a PING of HTTP/2 may stay unanswered, in ms. */
  pingTimeout: number
  /** Nothing depends on the end of its HTTP/2 session: what is idle and cannot be told without a loss stays for its next stream. */
  mayWait?: boolean
  /** An answer was finished. */
  onServed (): void
  /** An answer that could not say close any more was finished: the client may send another request. */
  onIdle (connection: Connection): void
}

/** A connection as the kernel does not know it. */
export interface Luggage {
  /** Since it was accepted, in ms. */
  age: number
  /** How many requests it has brought, where somebody limits them. */
  requests: number
  /** No byte has come yet. */
  isFresh: boolean
}

/** One connection of the app, from accept to close. */
export class Connection {
  /** The TCP or Unix socket. */
  readonly transport: Socket
  openedAt: number
  /** What speaks HTTP: the transport, or the TLSSocket on it. */
  socket: Socket
  session: Session | null = null
  outcome: ConnectionOutcome | null = null
  readonly #env: ConnectionEnv
  #handshaking: boolean
  #bytesBefore = 0
  #leaving = false
  #halfClosed = false
  #retiring: ServerResponse | null = null
  #retirement: Retirement | null = null
  #goaway: Goaway | null = null

  constructor (transport: Socket, openedAt: number, env: ConnectionEnv, { handshake = false } = {}) {
    this.transport = this.socket = transport
    this.openedAt = openedAt
    this.#env = env
    this.#handshaking = handshake
  }

  /** The TLS handshake is done. */
  secured (socket: Socket): void {
    this.socket = socket
    this.#handshaking = false
    this.#bytesBefore = socket.bytesRead
    // Our FIN is out: a request that comes with the end of the handshake could not be answered any more.
    if (this.#leaving) socket.destroy()
  }

  /** HTTP/2 is spoken on it. */
  hasSession (session: Session): void {
    this.session = session
    // The session's own 'close' comes with the peer's FIN, which is what may never come.
    this.socket.once('finish', () => this.#linger(0))
  }

  get state (): ConnectionState {
    return this.transport.destroyed ? 'closed' : this.lastState
  }

  /** The state that it is in, or was in when its socket was destroyed. */
  get lastState (): ConnectionState {
    if (this.#halfClosed) return 'lingering'
    const state = this.#protocolState()
    return state === 'idle' && this.socket.bytesRead === this.#bytesBefore ? 'new' : state
  }

  #protocolState (): ConnectionState {
    if (this.#handshaking) return 'new'
    if (this.session !== null) return this.session.state
    if (http1.isHttp1(this.socket)) return http1.stateOf(this.socket)
    return 'idle'
  }

  get isHandshaking (): boolean {
    return this.#handshaking
  }

  /** Its HTTP/2 session was retired. */
  get isSayingGoodbye (): boolean {
    return this.#goaway !== null
  }

  /** How many streams of HTTP/2 are open. */
  get streams (): number {
    return this.session?.open ?? 0
  }

  /** It speaks HTTP/1.x in plain text, so that another process can go on with it between two requests. */
  get canMove (): boolean {
    if (this.#leaving || this.#handshaking || this.session !== null || this.socket !== this.transport) return false
    return http1.isHttp1(this.socket) && this.state !== 'upgraded' && !this.#env.closers.has(this.socket)
  }

  /** Nothing is being received, answered or written. */
  get isFree (): boolean {
    const { state, transport } = this
    return (state === 'idle' || state === 'new') && !transport.readableEnded && transport.writableLength === 0 && transport.readableLength === 0
  }

  get server (): Server | undefined {
    return http1.serverOf(this.transport)
  }

  get handle (): object | null {
    return handleOf(this.transport)
  }

  /** Since it was accepted, in ms. */
  get age (): number {
    return Math.round(this.#env.clock.now() - this.openedAt)
  }

  /** Another process has it: closes our copy, of which the peer notices nothing. */
  handOver (): void {
    this.outcome = 'handed-over'
    this.#unguard()
    this.transport.destroy()
  }

  /** It comes from another process, between two requests; may stay idle for `idleTime` ms more, or for ever (`null`). */
  takeOver (openedAt: number, idleTime: number | null): void {
    const { transport } = this
    this.openedAt = openedAt
    this.#bytesBefore = -1
    if (idleTime === null) return
    const cancel = this.#env.clock.after(idleTime, () => { if (transport.bytesRead === 0) this.leaveIfQuiet() })
    transport.once('close', cancel)
  }

  /** It may be closed now: nothing is open (an HTTP/2 session lets open streams finish), and nobody has begun to. */
  get isQuiet (): boolean {
    if (this.#leaving) return false
    const { state } = this
    return state === 'idle' || state === 'new' || (this.session !== null && state === 'active')
  }

  /** Makes what is under way the last exchange. */
  retire (retirement: Retirement): void {
    if (this.session !== null) return this.#retireSession(this.session, retirement)
    const answer = http1.currentAnswer(this.socket)
    if (answer !== null) this.#rememberPeer()
    if (answer !== null) this.retireWith(answer, retirement)
    else this.#waitForRequest(retirement.onIdle)
  }

  // Answered early: what is left of the request is still coming, and no event of an answer follows. `false`: nothing is.
  #waitForRequest (onIdle: Retirement['onIdle']): boolean {
    const request = http1.incompleteRequest(this.socket)
    request?.once('end', () => onIdle(this))
    return request !== null
  }

  #retireSession (session: Session, retirement: Retirement): void {
    const { peerCloseTimeout, pingTimeout, lastCall: latest, mayWait = false, onServed } = retirement
    const { clock, sockets } = this.#env
    this.#retirement = retirement
    session.onServed = onServed
    if (this.#goaway !== null) return this.#goaway.hurry({ peerCloseTimeout, pingTimeout, latest })
    this.#rememberPeer()
    session.watch()
    this.#goaway = new Goaway(session, {
      clock,
      // Over TLS Node would answer close_notify before the peer's FIN has come, and TIME_WAIT would be ours.
      endSocket: () => { this.socket.end() },
      isFlushed: () => this.unacknowledged === 0,
      readOn: () => { if (this.socket === this.transport) restartReads(this.socket) },
      peerCloseTimeout,
      pingTimeout,
      latest,
      mayWait,
      // Below TLS it would be no record.
      writeNow: sockets.canWriteNow && this.socket === this.transport ? bytes => sockets.writeNow(this.transport, bytes) : null
    })
  }

  /** Tells the client of an HTTP/2 session that it shall soon go elsewhere. */
  announce (): void {
    this.#goaway?.announce()
  }

  /** From now on fewer and fewer open streams of its HTTP/2 session are enough to refuse those that come. */
  settle (): void {
    this.#goaway?.settle()
  }

  /** A stream has just been opened on its HTTP/2 session. */
  streamOpened (): void {
    this.#goaway?.streamOpened()
  }

  /** Makes this answer of an HTTP/1.x connection the last one, then lets the peer close first. */
  retireWith (answer: ServerResponse, retirement: Retirement): void {
    // A drain may begin before the answer is finished.
    this.#retirement = retirement
    // Pipelined behind an answer that is the last one so far: makeLast() follows the queue.
    if (this.#retiring !== null) return http1.sayClose(this.socket, answer)
    this.#retiring = answer
    http1.makeLast(this.socket, answer, () => this.#retirement?.onServed(), end => {
      const { peerCloseTimeout, onIdle } = this.#retirement ?? retirement
      this.#retiring = null
      if (end !== 'keeps-alive') this.leave(end === 'ended-by-fin' ? 0 : peerCloseTimeout)
      else if (!this.#waitForRequest(onIdle)) onIdle(this)
    })
  }

  /** Node has written the last answer and wants to close. */
  answered (): void {
    // During a drain retireWith() hears of the same answer's end, and knows how it ended.
    if (this.#retiring === null) this.leave(0)
  }

  /** Lingering close; the peer may send its FIN first for `peerCloseTimeout` ms. */
  leave (peerCloseTimeout: number): void {
    if (this.#leaving || this.socket.destroyed) return
    this.#leaving = true
    this.#rememberPeer()
    if (this.session !== null) return this.#goaway?.settle()
    // During a TLS handshake the input belongs to OpenSSL.
    if (!this.#handshaking) http1.discardInput(this.socket)
    this.#linger(peerCloseTimeout)
  }

  /** An upgraded socket: its owner says goodbye in the words of its protocol; to a WebSocket we do, and see that it closes. */
  leaveUpgraded (peerCloseTimeout: number): void {
    const { socket } = this
    if (this.#leaving || socket.destroyed) return
    this.#rememberPeer()
    if (this.#env.closers.close(socket)) return
    this.#leaving = true
    const webSocket = webSocketOn(socket)
    if (webSocket === null) return this.#leaveWhenRead(peerCloseTimeout)
    let cancel: (() => void) | null = null
    const linger = (): void => {
      cancel?.()
      socket.off('finish', linger)
      // What the peer has sent before it saw the close frame is still read by its owner.
      socket.resume()
      this.#linger(0)
    }
    // The library ends the socket as soon as the peer has answered.
    socket.once('finish', linger)
    socket.once('close', () => cancel?.())
    sayGoingAway(webSocket, socket, () => { cancel = this.#env.clock.after(peerCloseTimeout, linger) })
  }

  // A handshake that is not over: its owner reads from the socket as soon as it is.
  #leaveWhenRead (peerCloseTimeout: number): void {
    this.socket.once('resume', () => {
      this.#leaving = false
      this.leaveUpgraded(peerCloseTimeout)
    })
  }

  // Node keeps an address that it was asked for; when an error has closed the socket it is too late to ask.
  #rememberPeer (): unknown {
    return this.transport.remoteAddress
  }

  #linger (peerCloseTimeout: number): void {
    lingeringClose(this.socket, {
      peerCloseTimeout,
      times: this.#env.times,
      clock: this.#env.clock,
      unacknowledged: () => this.unacknowledged,
      inFlight: () => this.#env.sockets.inFlight(this.socket),
      onHalfClose: () => {
        this.#halfClosed = true
        this.#env.onHalfClosed(this)
      },
      onTimeout: () => {
        this.outcome = 'timed-out'
        this.#env.onTimedOut(this)
      }
    })
  }

  /** Lingering close if no byte has arrived that the event loop has not delivered yet. */
  leaveIfQuiet (): void {
    if (!this.isQuiet) return
    const before = this.socket.bytesRead
    this.#env.clock.turn(() => {
      if (this.isQuiet && this.socket.bytesRead === before) this.leave(0)
    })
  }

  /** How many bytes the peer has not acknowledged, as far as the kernel has them; `null`: nobody knows. */
  get unacknowledged (): number | null {
    return this.#env.sockets.unacknowledged(this.socket)
  }

  /** The errno name of the error that ended it; `null` where there was none. */
  get error (): string | null {
    const error = (this.transport.errored ?? this.socket.errored) as NodeJS.ErrnoException | null
    return error?.code ?? null
  }

  /** What is being answered: an answer of HTTP/1.x, or the open streams of HTTP/2. */
  get exchanges (): Array<ServerResponse | ServerHttp2Stream> {
    if (this.session !== null) return this.session.streams
    const answer = http1.currentAnswer(this.socket)
    return answer === null ? [] : [answer]
  }

  /** The request that is open. */
  currentRequest (): RequestLine {
    return this.session?.describe() ?? http1.describe(this.socket)
  }

  /** Nothing has happened for as long as the server allows. */
  timedOut (): void {
    if (http1.handlesTimeout(this.socket)) return
    if (this.state === 'active') this.socket.destroy()
    else this.leaveIfQuiet()
  }

  /** Whoever answers a broken request next with destroy() gets a lingering close: the client shall read the answer. */
  lingerOnDestroy (): void {
    const { socket } = this
    if (!socket.writable || this.#leaving || this.#handshaking) return
    socket.destroy = () => {
      this.#unguard()
      if (socket.writable) this.leave(0)
      else socket.destroy()
      return socket
    }
  }

  /** The end, whatever state it is in. */
  cut (how: 'destroy' | 'reset'): void {
    this.outcome = 'cut'
    this.#unguard()
    if (how === 'reset') this.#env.sockets.reset(this.transport)
    this.socket.destroy()
    this.transport.destroy()
  }

  #unguard (): void {
    delete (this.socket as Partial<Socket>).destroy
  }

  /** The transport has closed. */
  closed (): void {
    this.outcome ??= this.#endedBy()
  }

  #endedBy (): ConnectionOutcome {
    const { error } = this
    if (lossErrors.has(error)) return 'peer-lost'
    if (this.#halfClosed) return 'half-closed'
    return this.socket.readableEnded || peerErrors.has(error) ? 'peer-closed' : 'destroyed'
  }
}

// What the kernel says when nobody has answered its probes or retransmissions: tcp(7), icmp(7).
const lossErrors = new Set<string | null>(['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN'])

const peerErrors = new Set<string | null>(['ECONNRESET', 'EPIPE'])
