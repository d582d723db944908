import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'

/** What happened to the requests, seen from the client. */
export interface Tally {
  answered: number
  connections: number
  /** `refused`, `reset`, `empty` (closed without a byte of an answer), `cut` (in the middle), a status, or a code. */
  failed: Record<string, number>
}

export interface Load {
  /** As it is now. */
  readonly tally: Tally
  /** Resolves when so many more requests have been answered. */
  answers (more: number): Promise<void>
  /** Lets the requests that are open come to their end. */
  stop (): Promise<Tally>
}

export interface LoadOptions {
  to: NetConnectOpts
  tls?: boolean
  /** Loops with a connection for each request. */
  fresh?: number
  /** Loops that keep their connection for as long as the server does. */
  kept?: number
  /** Between two requests of one loop, in ms. */
  pause?: number
}

// A loop that nobody stops.
const longest = 60_000

/** Loops of requests; nothing is tried twice. Stopped on teardown. */
export function startConnectionLoad (
  t: { teardown (fn: () => unknown): void }, { to, tls = false, fresh = 0, kept = 0, pause = 5 }: LoadOptions
): Load {
  const tally: Tally = { answered: 0, connections: 0, failed: {} }
  const waiting = new Set<() => void>()
  const end = performance.now() + longest
  const stopping = new AbortController()
  const loops = Promise.all([
    ...Array.from({ length: fresh }, () => run(false)),
    ...Array.from({ length: kept }, () => run(true))
  ])
  t.teardown(stop)
  return {
    tally,
    stop,
    async answers (more) {
      const enough = tally.answered + more
      while (tally.answered < enough) {
        if (performance.now() > end) throw new Error(`fewer than ${more} requests were answered: ${JSON.stringify(tally)}`)
        await new Promise<void>(resolve => { waiting.add(resolve) })
      }
    }
  }

  async function stop (): Promise<Tally> {
    stopping.abort()
    await loops
    return tally
  }

  async function run (keep: boolean): Promise<void> {
    let connection: Connection | null = null
    await sleep(Math.random() * 20)
    while (!stopping.signal.aborted && performance.now() < end) {
      // One that ended in peace while nothing was asked is what a client expects of a server.
      if (connection === null || connection.ended) connection = open(keep)
      const { outcome, goesOn } = await connection.ask()
      if (outcome === 'answered') tally.answered++
      else tally.failed[outcome] = (tally.failed[outcome] ?? 0) + 1
      for (const resolve of waiting) resolve()
      waiting.clear()
      if (!goesOn) connection = null
      await sleep(pause)
    }
    connection?.socket.destroy()
  }

  function open (keep: boolean): Connection {
    tally.connections++
    return new Connection(tls ? connectTls({ ...to, rejectUnauthorized: false } as object) : connect(to), keep)
  }
}

interface Asked { outcome: string, goesOn: boolean }

class Connection {
  readonly socket: Socket
  readonly #keep: boolean
  #received = ''
  #settle: ((outcome: Asked) => void) | null = null
  #error: string | null = null

  constructor (socket: Socket, keep: boolean) {
    this.socket = socket
    this.#keep = keep
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.#received += text
      if (keep) this.#look()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => { this.#error = error.code ?? error.message })
    socket.on('close', () => this.#closed())
  }

  get ended (): boolean {
    return this.socket.readableEnded && this.#error === null
  }

  ask (): Promise<Asked> {
    this.#received = ''
    return new Promise(resolve => {
      this.#settle = resolve
      if (this.socket.destroyed) return this.#closed()
      this.socket.write(`GET / HTTP/1.1\r\nhost: test\r\n${this.#keep ? '' : 'connection: close\r\n'}\r\n`)
    })
  }

  #look (): void {
    if (!isWhole(this.#received)) return
    const goesOn = !/^connection: close/mi.test(this.#received)
    if (!goesOn) this.socket.end()
    this.#done({ outcome: status(this.#received), goesOn })
  }

  #closed (): void {
    const outcome = this.#error !== null
      ? names[this.#error] ?? this.#error
      : this.#received === '' ? 'empty' : isWhole(this.#received) ? status(this.#received) : 'cut'
    this.#done({ outcome, goesOn: false })
  }

  #done (asked: Asked): void {
    this.#settle?.(asked)
    this.#settle = null
  }
}

const names: Record<string, string> = { ECONNREFUSED: 'refused', ECONNRESET: 'reset', EPIPE: 'reset' }

function isWhole (received: string): boolean {
  const [, length = '', body = ''] = /^content-length: (\d+)\r\n(?:.+\r\n)*\r\n(.*)/mi.exec(received) ?? []
  return length !== '' && body.length === Number(length)
}

function status (received: string): string {
  const code = received.slice(9, 12)
  return code === '200' ? 'answered' : code
}
