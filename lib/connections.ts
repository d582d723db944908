import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import { Socket } from 'node:net'
import { CloseSchedule, type RetirementPlan } from './close-schedule.ts'
import { Connection, type ConnectionEnv, type ConnectionState, type Luggage, type Retirement } from './connection.ts'
import { Exchanges } from './exchanges.ts'
import { stopListening, type LeaveListener } from './listen/leave-listener.ts'
import { connect, type Handle } from './os/handle.ts'
import type { Observer } from './observer.ts'
import * as http1 from './protocols/http1.ts'
import { isStream, Session } from './protocols/http2.ts'
import { transportOf } from './protocols/tls.ts'
import { Rotation, rotates, type RotationSettings } from './rotation.ts'
import { addRequests, idleTime, watchRequests, watchServer, type HttpServer } from './server.ts'

/** How many connections are in each state; a closed one is not counted any more. */
export interface ConnectionCounts extends Record<Exclude<ConnectionState, 'closed'>, number> {
  /** How many streams are open in all HTTP/2 sessions; each session is one connection. */
  streams: number
}

export interface ConnectionsEnv extends Omit<ConnectionEnv, 'onTimedOut' | 'onHalfClosed'> {
  observer: Observer
  /** Which connections are ended while the app serves. */
  rotation?: RotationSettings
  /** Calls `stop`, which closes a listener, when that loses no connection. */
  leave: LeaveListener
}

export interface ConnectionsEvents {
  /** A connection came after retire(). */
  onLate (): void
  /** An answer was finished after retire(). */
  onServed (): void
  /** A connection will be closed, because its peer kept neither of the linger times. */
  onTimedOut (connection: Connection): void
  /** A connection has closed; its outcome is known. */
  onClosed (connection: Connection): void
}

/** Every connection of every server of the app. */
export class Connections {
  readonly #env: ConnectionEnv
  readonly #events: ConnectionsEvents
  readonly #servers = new Set<HttpServer>()
  // Until more has to be remembered of a connection than when it came, it costs no object.
  readonly #open = new Map<Socket, Connection | number>()
  readonly #leave: LeaveListener
  readonly #observer: Observer
  readonly #exchanges: Exchanges
  readonly #rotation: Rotation | null
  #newest: Socket | null = null
  #retirement: Retirement | null = null
  #schedule: CloseSchedule
  #closingIdle = false
  #untilEmpty: Array<() => void> = []
  /** Whether a connection leaves in another way, so that it is neither told to close nor closed. */
  leaves: (connection: Connection) => boolean = () => false

  // One function for all sockets: a closure each would cost more memory than all the rest.
  readonly #onSocketClose: (this: Socket) => void
  readonly #destroySoon: (this: Socket) => void

  constructor ({ clock, times, sockets, closers, leave, observer, rotation }: ConnectionsEnv, events: ConnectionsEvents) {
    const connections = this
    this.#env = { clock, times, sockets, closers, onTimedOut: events.onTimedOut, onHalfClosed: connection => this.#observer.changed(connection) }
    this.#observer = observer
    this.#schedule = new CloseSchedule(clock, { idleGrace: 0, closeSpread: 0, peerCloseTimeout: 0, lastCall: 0, pingTimeout: 0 })
    this.#exchanges = new Exchanges(observer, socket => this.find(socket))
    this.#leave = leave
    this.#events = events
    this.#rotation = rotation === undefined || !rotates(rotation)
      ? null
      : new Rotation({ ...rotation, clock, random: Math.random, find: socket => this.find(socket) })
    this.#onSocketClose = function () { connections.#closed(this) }
    this.#destroySoon = function () { connections.find(this)?.answered() }
  }

  get size (): number {
    return this.#open.size
  }

  get servers (): Iterable<HttpServer> {
    return this.#servers
  }

  get listening (): boolean {
    return [...this.#servers].some(server => server.listening)
  }

  counts (): ConnectionCounts {
    const counts: ConnectionCounts = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }
    for (const [transport, known] of this.#open) {
      const { state, streams } = this.#connection(transport, known)
      if (state === 'closed') continue
      counts[state]++
      counts.streams += streams
    }
    return counts
  }

  /** Tracks what this server accepts from now on, and makes every close that the server starts a lingering one. */
  adopt (server: HttpServer): void {
    if (this.#servers.has(server)) return
    this.#servers.add(server)
    this.#rotation?.watch(server)
    watchServer(server, {
      opened: (socket, handshake) => this.#opened(socket, handshake),
      secured: socket => this.#secured(socket),
      sessionOpened: session => this.#sessionOpened(session),
      upgraded: socket => this.#upgraded(socket),
      timedOut: socket => this.find(socket)?.timedOut(),
      broken: socket => this.find(socket)?.lingerOnDestroy()
    })
    if (this.#retirement !== null) this.#retireRequests(server, this.#retirement)
    this.#exchanges.watchServer(server)
    this.#observe()
  }

  // Somebody who wants to know of requests may come at any time.
  #observe (): void {
    if (this.#observer.wantsStates) this.#exchanges.begin(this.#servers, () => this.all())
  }

  #opened (transport: Socket, handshake: boolean): void {
    const openedAt = Math.round(this.#env.clock.now())
    this.#newest = transport
    this.#open.set(transport, handshake ? new Connection(transport, openedAt, this.#env, { handshake }) : openedAt)
    transport.on('close', this.#onSocketClose)
    this.#guard(transport)
    if (this.#observer.isActive) this.#tellOpened(transport)
    if (this.#retirement !== null) this.#events.onLate()
    if (this.#closingIdle) this.#schedule.closeWhenIdle(this.#keep(transport))
  }

  #tellOpened (transport: Socket): void {
    this.#observe()
    const known = this.#open.get(transport) as Connection | number
    this.#observer.opened(this.#observer.wantsStates ? this.#keep(transport) : this.#connection(transport, known))
  }

  #secured (socket: Socket): void {
    const connection = this.find(socket)
    if (connection === undefined) return this.#opened(socket, false)
    this.#newest = connection.transport
    connection.secured(socket)
    this.#guard(socket)
  }

  #guard (socket: Socket): void {
    // Node's HTTP server calls this, and nothing else does, to close after the last answer.
    socket.destroySoon = this.#destroySoon
    // And this when the peer has half-closed.
    socket.end = http1.endAfterAnswers
  }

  // Node makes the session while it emits the event that has just told us of the socket.
  #sessionOpened (session: ServerHttp2Session): void {
    const connection = this.#newest === null ? undefined : this.find(this.#newest)
    if (connection === undefined) return
    connection.hasSession(new Session(session, this.#env.clock))
    this.#rotation?.hasSession(connection, session)
    this.#exchanges.watchSession(connection)
    if (this.#retirement !== null) connection.retire(this.#retirement)
  }

  #upgraded (socket: Socket): void {
    this.#rotation?.leaveAlone(transportOf(socket))
    const connection = this.#closingIdle || this.#observer.wantsStates ? this.find(socket) : undefined
    if (connection === undefined) return
    this.#observer.changed(connection)
    if (this.#closingIdle) this.#schedule.closeUpgraded(connection)
  }

  #closed (transport: Socket): void {
    const known = this.#open.get(transport)
    if (known === undefined) return
    this.#open.delete(transport)
    if (this.#newest === transport) this.#newest = null
    const error = typeof known === 'number' ? transport.errored : known.error
    if (this.#retirement !== null || error !== null || isHandedOver(known) || this.#observer.isActive) {
      const connection = this.#connection(transport, known)
      connection.closed()
      if (connection.outcome !== 'cut') this.#observer.closed(connection)
      this.#events.onClosed(connection)
    }
    if (this.size === 0) for (const resolve of this.#untilEmpty.splice(0)) resolve()
  }

  find (socket: Socket): Connection | undefined {
    const transport = transportOf(socket)
    return this.#open.has(transport) ? this.#keep(transport) : undefined
  }

  #keep (transport: Socket): Connection {
    const connection = this.#connection(transport, this.#open.get(transport) as Connection | number)
    this.#open.set(transport, connection)
    return connection
  }

  #connection (transport: Socket, known: Connection | number): Connection {
    return typeof known === 'number' ? new Connection(transport, known, this.#env) : known
  }

  all (): Connection[] {
    return [...this.#open.keys()].map(transport => this.#keep(transport))
  }

  /** From now on every answer is the last one of its connection. */
  retire (plan: RetirementPlan): void {
    const { clock } = this.#env
    this.#rotation?.stop()
    this.#schedule = new CloseSchedule(clock, plan)
    this.#retirement = {
      peerCloseTimeout: plan.peerCloseTimeout,
      lastCall: clock.now() + plan.lastCall,
      pingTimeout: plan.pingTimeout,
      onServed: () => this.#events.onServed(),
      onIdle: connection => {
        if (this.#closingIdle) this.#schedule.closeAfterAnswer(connection)
      }
    }
    for (const server of this.#servers) this.#retireRequests(server, this.#retirement)
    this.#observe()
    for (const connection of this.all()) {
      if (this.leaves(connection)) continue
      connection.retire(this.#retirement)
      if (connection.session?.used === true) this.#schedule.announce(connection)
    }
  }

  #retireRequests (server: HttpServer, retirement: Retirement): void {
    watchRequests(server, (request: IncomingMessage, answer: ServerResponse) => {
      const connection = isStream(answer) ? undefined : this.find(request.socket)
      if (connection !== undefined && !this.leaves(connection)) connection.retireWith(answer, retirement)
    })
  }

  /** Stops listening. */
  async leave (): Promise<void> {
    await Promise.all([...this.#servers].filter(({ listening }) => listening).map(server =>
      this.#leave(server, () => stopListening(server))))
  }

  /** Closes what is idle when its grace is over, and everything else when it gets idle. */
  close (): void {
    this.#closingIdle = true
    this.#observe()
    const { closers } = this.#env
    closers.begin(socket => this.find(socket as Socket) !== undefined)
    const step = this.#schedule.closeSpread / Math.max(1, this.size)
    let offset = 0
    for (const connection of this.all()) {
      if (this.leaves(connection)) continue
      const isUpgraded = connection.state === 'upgraded'
      // A socket that was taken over after reply.hijack() is still one of HTTP to Node.
      if (isUpgraded || closers.has(connection.socket)) this.#schedule.closeUpgraded(connection, offset)
      if (!isUpgraded) this.#schedule.closeWhenIdle(connection, offset)
      offset += step
    }
  }

  /** What would have left in another way stays, and is closed like all the rest. */
  stay (): void {
    const stayed = this.all().filter(this.leaves)
    this.leaves = () => false
    for (const connection of stayed) {
      if (this.#retirement !== null) connection.retire(this.#retirement)
      if (this.#closingIdle) this.#schedule.closeWhenIdle(connection)
    }
  }

  /** Goes on with a connection that another process has accepted. */
  receive (server: HttpServer, handle: Handle, { age, requests, isFresh }: Luggage): void {
    const { clock, sockets } = this.#env
    connect(server, handle)
    if (isFresh || this.#newest === null) return
    addRequests(this.#newest, requests)
    this.#rotation?.openedAt(this.#newest, clock.now() - age)
    const connection = this.#keep(this.#newest)
    connection.takeOver(clock.now() - age, idleTime(server, sockets.silence(this.#newest)))
    this.#observer.changed(connection)
  }

  /** Those that were given up in this very turn of the event loop have an outcome, and their 'close' is still to come. */
  closeGivenUp (): void {
    for (const connection of this.all()) {
      if (connection.outcome === null) continue
      connection.transport.destroy()
      this.#closed(connection.transport)
    }
  }

  /** Stops listening and cuts whatever is left, now; `onCut` sees each connection as it was. */
  cut (how: 'destroy' | 'reset', onCut: (connection: Connection) => void): void {
    for (const server of this.#servers) stopListening(server)
    this.closeGivenUp()
    for (const connection of this.all()) {
      onCut(connection)
      connection.cut(how)
      // Not when its socket has closed: after a second signal the process does not live that long.
      this.#observer.closed(connection)
    }
  }

  /** Resolves as soon as no connection is left. */
  async empty (): Promise<void> {
    // At the deadline there are two who wait.
    if (this.size > 0) await new Promise<void>(resolve => { this.#untilEmpty.push(resolve) })
    this.#schedule.stop()
  }
}

function isHandedOver (known: Connection | number): boolean {
  return typeof known !== 'number' && known.outcome === 'handed-over'
}
