import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerKind } from './restart.ts'

/** Where a client sends its requests: a service, or a proxy in front of one. */
export interface Target {
  kind: ServerKind
  port: number
  origin: string
  /** The file of the certificate to trust. */
  ca: string
}

/** Each user sends one request after another, GET and POST in turn, with a pause of `think` ms between them. */
export interface Pace { users: number, think: number }

export interface Tally {
  sent: number
  /** With status 200 and the right body. */
  answered: number
  /** What the caller of the client saw instead of an answer, by name, and how often. */
  errors: Record<string, number>
  /** Requests that the client says it has sent again by itself; `null`: it does not say. */
  retried: number | null
  /** Requests that were under way when it was stopped, and that nobody knows more of. */
  givenUp?: number
}

export interface Running {
  /** Lets the requests that are under way come to their end. */
  stop (): Promise<Tally>
}

export interface Client {
  /** Unique, of lower-case letters, digits and dashes: the ids of its requests begin so, and a dot follows. */
  id: string
  name: string
  kinds: ServerKind[]
  /** What cannot be done here, and why: such as `go is missing`. */
  missing: string | false
  /** What it is known to do wrong when a server goes away as it should; docs/interop.md has the details. */
  flaw?: Flaw
  /** It gives every request an id of its own; otherwise all of them have the id `<id>.-`. */
  tellsIds: boolean
  start (target: Target, pace: Pace): Running
}

export interface Flaw {
  /** In one sentence. */
  what: string
  /** The errors that its callers get. */
  errors: RegExp
  /** It gives up requests that are being served, too; otherwise those that fail were never executed. */
  ofServed: boolean
}

export interface Exchange { id: string, method: 'GET' | 'POST', path: string, body: string | null }

/** Resolves with the status and body of the answer. */
export type Ask = (exchange: Exchange) => Promise<{ status: number, body: string }>

export function newTally (): Tally {
  return { sent: 0, answered: 0, errors: {}, retried: null }
}

/** Counts one request; `error`: what the caller saw instead of the right answer. */
export function account (tally: Tally, error: string | null, times = 1): void {
  tally.sent += times
  if (error === null) tally.answered += times
  else tally.errors[error] = (tally.errors[error] ?? 0) + times
}

/** Users in this process; `end` is called when all is over. */
export function users (id: string, { users, think }: Pace, ask: Ask, end: () => unknown = () => {}): Running {
  const tally = newTally()
  const stopping = new AbortController()
  const ended = Array.from({ length: users }, (_, user) => loop(user))
  return {
    async stop () {
      stopping.abort()
      await Promise.all(ended)
      await end()
      return tally
    }
  }

  async function loop (user: number): Promise<void> {
    await sleep(Math.random() * think)
    for (let n = 0; !stopping.signal.aborted; n++) {
      await one(ask, exchangeOf(id, user, n))
      await sleep(think, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }

  async function one (send: Ask, exchange: Exchange): Promise<void> {
    try {
      const { status, body } = await send(exchange)
      account(tally, whatIsWrong(exchange, status, body))
    } catch (error) {
      account(tally, nameOf(error))
    }
  }
}

export function whatIsWrong ({ id, body: sent }: Exchange, status: number, body: string): string | null {
  if (status !== 200) return `status ${status}`
  return body === (sent ?? id) ? null : 'wrong body'
}

/** The nth request of a user. */
export function exchangeOf (client: string, user: number, n: number): Exchange {
  const id = `${client}.${user}.${n}`
  const method = n % 2 === 0 ? 'GET' : 'POST'
  return { id, method, path: `/items/${id}`, body: method === 'GET' ? null : `body of ${id} ${'x'.repeat(n % 1000)}` }
}

// fetch() says only 'fetch failed', and why in the cause.
function nameOf (error: unknown): string {
  const { code, message, cause } = error as NodeJS.ErrnoException
  return code ?? (cause === undefined ? message : nameOf(cause))
}

/**
 * A program with users of its own. It gets `{ origin, ca, kind, id, users, think }` as its last argument, stops when its
 * stdin ends, and then writes its tally as JSON.
 */
export function program (
  command: string[], id: string, { origin, ca, kind }: Target, pace: Pace, env: Record<string, string> = {}
): Running {
  const running = run([...command, JSON.stringify({ origin, ca, kind, id, ...pace })], { env })
  return {
    async stop () {
      running.child.stdin.end()
      return JSON.parse((await running.ended).stdout)
    }
  }
}

/** Runs a program to its end; whatever else happens, it does not outlive this process. */
export function run ([file = '', ...args]: string[], { env = {}, codes = [0] }: { env?: Record<string, string>, codes?: number[] } = {}): {
  child: ChildProcessWithoutNullStreams, ended: Promise<{ stdout: string, stderr: string }>
} {
  const child = spawn(file, args, { env: { ...process.env, ...env } })
  const kill = (): void => { child.kill('SIGKILL') }
  process.setMaxListeners(0)
  process.once('exit', kill)
  child.stdin.on('error', () => {})
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(([stdout, stderr, [code, signal]]) => {
    process.off('exit', kill)
    if (codes.includes(code)) return { stdout, stderr }
    throw new Error(`${file} ended with ${code ?? signal}: ${stderr}${stdout}`)
  })
  return { child, ended }
}

/**
 * A program that ends by itself after some requests: it is run again and again. `batch` runs it once for this user, and
 * counts; `n` is the number of batches that this user had before.
 */
export function batches (users: number, batch: (user: number, n: number, tally: Tally) => Promise<void>): Running {
  const tally = newTally()
  const stopping = new AbortController()
  const ended = Promise.all(Array.from({ length: users }, async (_, user) => {
    for (let n = 0; !stopping.signal.aborted; n++) await batch(user, n, tally)
  }))
  return {
    async stop () {
      stopping.abort()
      await ended
      return tally
    }
  }
}

/** How many requests take about two seconds. */
export function requestsPerBatch ({ think }: Pace): number {
  return Math.max(2, Math.min(200, Math.round(2000 / (think + 5))))
}

/** Why this client cannot be used here. Where everything has to be tested, a missing program is a failing test. */
export function missing (file: string, args: string[]): string | false {
  if (process.env['CI'] === 'true' || spawnSync(file, args).error === undefined) return false
  return `${file} is not installed`
}
