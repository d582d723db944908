import type { Clock } from './clock.ts'
import type { Connection, ConnectionOutcome, ConnectionState } from './connection.ts'
import type { Observer } from './observer.ts'
import type { DrainReport } from './report.ts'

/** One connection during a drain. All times in ms since the drain began. */
export interface RecordedConnection {
  /** `null` for a Unix socket. */
  remoteAddress: string | null
  remotePort: number | null
  /** Negative: before the drain. */
  acceptedAt: number
  /** Each state and since when, in order; the first is the one in which the drain found it. */
  states: Array<[at: number, state: ConnectionState]>
  /** How many changes between `active` and `idle` are left out of `states`, behind the first 64. */
  omittedChanges: number
  /** `null`: the process ended before it. */
  endedAt: number | null
  /** `null`: the process ended before it. */
  outcome: ConnectionOutcome | null
  /** Of the request that was open last while the drain went on; `null`: there was none. */
  method: string | null
  /** Path of that request, without the query string, at most 500 characters of it. */
  route: string | null
}

/** What is written to the file of the option `report`: the report, and how each connection lived while the drain went on. */
export interface DrainReportFile extends DrainReport {
  timeline: {
    /** In the order in which the process got them; without those that a handover had taken away before the drain began. */
    connections: RecordedConnection[]
  }
}

// A busy session of HTTP/2 would fill the file by itself.
const mostChanges = 64

/** What is being recorded, and its newest state, listed or not. */
interface Followed {
  recorded: RecordedConnection
  since: number
  state: ConnectionState
}

/** Records a drain, from its beginning to its end, connection by connection. */
export class Timeline implements Observer {
  readonly #clock: Clock
  readonly #write: (file: DrainReportFile) => void
  readonly #connections: RecordedConnection[] = []
  readonly #open = new Map<Connection, Followed>()
  #began = 0
  #isRecording = false

  constructor (clock: Clock, write: (file: DrainReportFile) => void) {
    this.#clock = clock
    this.#write = write
  }

  get isActive (): boolean {
    return this.#isRecording
  }

  get wantsStates (): boolean {
    return this.isActive
  }

  begin (began: number, connections: readonly Connection[]): void {
    this.#isRecording = true
    this.#began = began
    for (const connection of connections) this.#add(connection, 0)
  }

  opened (connection: Connection): void {
    this.#add(connection, this.#elapsed)
  }

  #add (connection: Connection, at: number): void {
    // Node keeps an address that it was asked for; when an error has closed the socket it is too late to ask.
    const { remoteAddress = null, remotePort = null } = connection.transport
    const recorded: RecordedConnection = {
      remoteAddress,
      remotePort,
      // It is rounded already, which can be up.
      acceptedAt: Math.min(at, Math.round(connection.openedAt - this.#began)),
      states: [],
      omittedChanges: 0,
      endedAt: null,
      outcome: null,
      method: null,
      route: null
    }
    this.#connections.push(recorded)
    this.#open.set(connection, { recorded, since: at, state: 'closed' })
    this.#look(connection, at)
  }

  changed (connection: Connection): void {
    this.#look(connection, this.#elapsed)
  }

  #look (connection: Connection, at: number): void {
    const followed = this.#open.get(connection)
    const { state } = connection
    // When it has closed, closed() follows, and knows the outcome.
    if (followed === undefined || state === 'closed') return
    const { recorded } = followed
    if (state === 'active') describe(recorded, connection)
    if (state === followed.state) return
    const isOmitted = recorded.states.length > mostChanges && (state === 'active' || state === 'idle')
    if (!isOmitted) catchUp(followed)
    followed.state = state
    followed.since = at
    if (isOmitted) recorded.omittedChanges++
    else recorded.states.push([at, state])
  }

  closed (connection: Connection): void {
    this.#end(connection, this.#elapsed)
    this.#open.delete(connection)
  }

  // Bytes of a half-received head change a state without an event.
  phase (): void {
    for (const connection of this.#open.keys()) this.changed(connection)
  }

  finished (report: DrainReport): void {
    // After a second signal the process does not live until their sockets have closed.
    for (const connection of this.#open.keys()) if (connection.outcome !== null) this.#end(connection, report.duration)
    this.#isRecording = false
    this.#write({ ...report, timeline: { connections: this.#connections } })
  }

  #end (connection: Connection, at: number): void {
    const followed = this.#open.get(connection)
    if (followed === undefined) return
    catchUp(followed)
    const { recorded } = followed
    recorded.endedAt = at
    recorded.outcome = connection.outcome
  }

  get #elapsed (): number {
    return Math.round(this.#clock.now() - this.#began)
  }
}

// What comes next is listed, so the state before it has to be, too.
function catchUp ({ recorded, state, since }: Followed): void {
  if (recorded.omittedChanges === 0 || recorded.states.at(-1)?.[1] === state) return
  recorded.states.push([since, state])
  recorded.omittedChanges--
}

function describe (recorded: RecordedConnection, connection: Connection): void {
  const { method, route } = connection.currentRequest()
  // A head that is half received has no name yet.
  if (method === null) return
  recorded.method = method
  recorded.route = route
}
