import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from './clock.ts'
import type { ConnectionCounts } from './connections.ts'
import type { Health as Paths } from './options.ts'
import type { DrainPhase } from './report.ts'
import type { HttpServer } from './server.ts'

export type ProbeName = keyof Paths

export interface Probe {
  name: ProbeName
  path: string
}

export interface ProbeAnswer {
  status: number
  headers: Record<string, string | number>
  body: string
}

export interface HealthEnv {
  paths: Required<Paths>
  clock: Clock
  log: { trace (fields: object, message: string): void }
  /** `hasSuccessor`: another process serves on the same listeners. */
  drain: { readonly phase: DrainPhase, readonly hasSuccessor: boolean, readonly connections: { counts (): ConnectionCounts } }
}

// Counting looks at every connection, and everybody may ask: it shall not take more than this part of the time.
const countingAtMost = 0.02
const longestRest = 1000

/**
 * Answers the probes of load balancers and of Kubernetes. Ready is who serves, or has a successor that does: from the
 * first moment of a drain the answer is 503. Alive is who can answer.
 */
export class Health {
  readonly probes: Probe[]
  readonly #env: HealthEnv
  readonly #servers = new WeakSet<HttpServer>()
  #counts: ConnectionCounts | null = null
  #countAgainAt = -Infinity

  constructor (env: HealthEnv) {
    this.#env = env
    this.probes = (['readiness', 'liveness'] as const).flatMap(name => {
      const path = env.paths[name]
      return path === false ? [] : [{ name, path }]
    })
  }

  /**
   * Answers the probes in front of everything that listens to requests of this server now: no hook, and no listener of
   * the app, is asked.
   */
  answerOn (server: HttpServer): void {
    if (this.#servers.has(server) || this.probes.length === 0) return
    this.#servers.add(server)
    const others = server.rawListeners('request')
    server.removeAllListeners('request')
    server.on('request', (request: IncomingMessage, answer: ServerResponse) => {
      const probe = this.#probeOf(request)
      if (probe !== undefined) return this.#send(probe, request, answer)
      for (const listener of others) Reflect.apply(listener, server, [request, answer])
    })
  }

  // The query is nobody's business, here and in the log.
  #probeOf ({ method, url = '' }: IncomingMessage): Probe | undefined {
    if (method !== 'GET' && method !== 'HEAD') return undefined
    return this.probes.find(({ path }) => url.startsWith(path) && (url.length === path.length || url[path.length] === '?'))
  }

  #send (probe: Probe, { method }: IncomingMessage, answer: ServerResponse): void {
    const { status, headers, body } = this.answer(probe, method as string)
    answer.writeHead(status, headers)
    if (method === 'HEAD') answer.end()
    else answer.end(body)
  }

  /** What a probe is told now. */
  answer ({ name, path }: Probe, method: string): ProbeAnswer {
    const { log, drain: { phase, hasSuccessor } } = this.#env
    const isOk = name === 'liveness' || phase === 'serving' || hasSuccessor
    const status = isOk ? 200 : 503
    // How busy a service is that serves is nobody's business.
    const told = isOk ? { status: 'ok', phase } : { status: 'draining', phase, connections: this.#connections() }
    const body = JSON.stringify(told)
    log.trace({ phase }, `health: ${method} ${path} ${status} (${phase})`)
    return {
      status,
      headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', 'content-length': Buffer.byteLength(body) },
      body
    }
  }

  #connections (): ConnectionCounts {
    const { clock, drain } = this.#env
    const before = clock.now()
    if (this.#counts === null || before >= this.#countAgainAt) {
      this.#counts = drain.connections.counts()
      const after = clock.now()
      this.#countAgainAt = after + Math.min(longestRest, (after - before) / countingAtMost)
    }
    return this.#counts
  }
}
