import type { ServerResponse } from 'node:http'
import type { Http2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { Clock } from './clock.ts'
import type { Connection, Retirement } from './connection.ts'
import { LastAnswers } from './last-answers.ts'
import { Paced } from './paced.ts'
import { countRequests, type HttpServer } from './server.ts'

export interface RotationSettings {
  /** In ms. */
  maxConnectionAge: number | false
  maxRequestsPerConnection: number | false
  /** How long the peer may close first after an answer that said close, in ms. */
  peerCloseTimeout: number
}

export interface RotationEnv extends RotationSettings {
  clock: Clock
  /** From 0 to 1, 1 excluded. */
  random (): number
  find (socket: Socket): Connection | undefined
}

// A sweep may come this part of the age late; with it every connection is told at 90 to 110 % of the age.
const sweepPart = 0.01
const jitter = 0.1

// How long a session has the choice of its moment, then how long fewer open streams are enough with each, in ms.
const longestGrace = 10_000

const pingTimeout = 5000

/** Whether these settings end any connection while the app serves. */
export function rotates ({ maxConnectionAge, maxRequestsPerConnection }: RotationSettings): boolean {
  return maxConnectionAge !== false || maxRequestsPerConnection !== false
}

/**
 * Ends connections while the app serves, so that long-lived clients find their way to other replicas: those that are old
 * (MAX_CONNECTION_AGE of gRPC, max_connection_duration of Envoy), and those that have brought many requests
 * (max_requests_per_connection of Envoy). None is closed in silence: HTTP/1.x hears `Connection: close` with an answer, HTTP/2
 * gets GOAWAY as in a drain. When a drain begins it is the drain that ends them.
 *
 * What an age costs: an entry in a map for each connection, and one timer, which looks at each connection a hundred times in the
 * whole of its age. A request costs a look-up in a map while connections that are old wait for theirs, else nothing. What a
 * number of requests costs: a listener that adds one for each.
 */
export class Rotation {
  readonly #env: RotationEnv
  /** When each connection gets too old, on the clock, in ms. */
  readonly #due = new Map<Socket, number>()
  // The socket that Node shows of a session is another one.
  readonly #sessions = new WeakMap<Http2Session, Connection>()
  readonly #old: Paced<Connection>
  readonly #settling: Paced<Connection>
  readonly #lastAnswers: LastAnswers
  readonly #grace: number
  #cancelSweeps: (() => void) | null = null
  #isOver = false

  // One function for all sockets: a closure each would cost more memory than all the rest.
  readonly #onSocketClose: (this: Socket) => void

  constructor (env: RotationEnv) {
    const rotation = this
    this.#env = env
    this.#grace = env.maxConnectionAge === false ? longestGrace : Math.min(longestGrace, env.maxConnectionAge * jitter)
    this.#old = new Paced(env.clock, connections => { for (const connection of connections) this.#rotate(connection) })
    this.#settling = new Paced(env.clock, connections => { for (const connection of connections) connection.settle() })
    this.#lastAnswers = new LastAnswers((connection, answer) => connection.retireWith(answer, this.#retirement))
    this.#onSocketClose = function () { rotation.leaveAlone(this) }
  }

  /** Before anybody else listens to the requests of this server. */
  watch (server: HttpServer): void {
    const { maxConnectionAge, maxRequestsPerConnection: limit, clock } = this.#env
    this.#lastAnswers.watch(server)
    if (limit !== false) {
      countRequests(server, limit, {
        answer: (socket, answer) => this.#lastAnswer(socket, answer),
        stream: session => this.#lastStream(session)
      })
    }
    if (maxConnectionAge === false) return
    server.on('connection', socket => {
      this.openedAt(socket, clock.now())
      socket.on('close', this.#onSocketClose)
    })
  }

  /** HTTP/2 is spoken on this connection. */
  hasSession (connection: Connection, session: Http2Session): void {
    if (this.#env.maxRequestsPerConnection !== false) this.#sessions.set(session, connection)
  }

  /** When this connection was accepted, here or elsewhere. */
  openedAt (transport: Socket, openedAt: number): void {
    const { maxConnectionAge: age, random, clock } = this.#env
    if (age === false || this.#isOver) return
    this.#due.set(transport, openedAt + age * (1 - jitter + (2 * jitter - sweepPart) * random()))
    this.#cancelSweeps ??= clock.every(age * sweepPart, () => this.#sweep())
  }

  /** It has closed, or speaks another protocol from now on. */
  leaveAlone (transport: Socket): void {
    this.#lastAnswers.delete(transport)
    this.#due.delete(transport)
    if (this.#due.size === 0) this.#stopSweeps()
  }

  /** A drain begins: it knows how to end whatever is left. */
  stop (): void {
    this.#isOver = true
    this.#due.clear()
    this.#stopSweeps()
    this.#lastAnswers.stop()
    for (const queue of [this.#old, this.#settling]) queue.stop()
  }

  #stopSweeps (): void {
    this.#cancelSweeps?.()
    this.#cancelSweeps = null
  }

  #sweep (): void {
    const { clock, find } = this.#env
    const now = clock.now()
    for (const [transport, due] of this.#due) {
      if (due > now) continue
      const connection = find(transport)
      // Nothing can be said before the end of its handshake.
      if (connection?.isHandshaking === true) continue
      this.#due.delete(transport)
      if (connection !== undefined) this.#old.add(connection, now)
    }
    if (this.#due.size === 0) this.#stopSweeps()
  }

  #rotate (connection: Connection): void {
    if (connection.state === 'active' || connection.state === 'idle' || connection.state === 'new') {
      if (connection.session !== null) this.#retireSession(connection)
      else this.#lastAnswers.add(connection)
    }
  }

  // Where the client has asked for a close, or Node wants one, it comes by itself.
  #lastAnswer (socket: Socket, answer: ServerResponse): void {
    if (!this.#isOver && answer.shouldKeepAlive) this.#env.find(socket)?.retireWith(answer, this.#retirement)
  }

  #lastStream (session: Http2Session): void {
    const connection = this.#isOver ? undefined : this.#sessions.get(session)
    if (connection === undefined || connection.isSayingGoodbye) return
    this.#retireSession(connection)
    connection.streamOpened()
  }

  #retireSession (connection: Connection): void {
    if (connection.isSayingGoodbye) return
    connection.retire(this.#retirement)
    if (connection.session?.used === true) connection.announce()
    this.#settling.add(connection, this.#env.clock.now() + this.#grace)
  }

  get #retirement (): Retirement {
    const { clock, peerCloseTimeout } = this.#env
    return {
      peerCloseTimeout,
      pingTimeout,
      lastCall: clock.now() + 2 * this.#grace,
      mayWait: true,
      onServed () {},
      // It was told to close by a head that was not Node's.
      onIdle: connection => connection.leave(peerCloseTimeout)
    }
  }
}
