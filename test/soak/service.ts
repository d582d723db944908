import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { DrainReport } from '../../index.ts'
import { readGeneration, type Generation } from '../helpers/handover.ts'
import type { Journal, Story } from './journal.ts'
import { holdListener, type HeldListener } from './listeners.ts'

/** How a process is replaced. The first and the last two have the successor listen before the old one gets its signal. */
export type RestartKind = 'SIGTERM' | 'SIGTERM, then start' | 'handover' | 'reuse-port'

/** `held`: the harness holds its listeners. `handed`: they go from process to process. `shared`: each process has its own. */
export type ServiceName = 'held' | 'handed' | 'shared'

export interface Restart {
  service: ServiceName
  kind: RestartKind
  from: number
  to: number
  /** From SIGTERM, or from when the successor listened, until the old process had ended, in ms. */
  exit: number
  reports: Reported[]
}

/** What an app reports of its drain. */
export interface Reported extends Pick<DrainReport, 'connections' | 'stragglers' | 'duration'> { app: string, served: number }

export interface Ports { http1: number, h2c: number, tls: number }

export interface ServiceOptions {
  name: ServiceName
  node: string
  folder: string
  journal: Journal
  /** What its processes do wrong. */
  faults: string[]
  /** Options of the plugin, in ms. */
  times: Record<string, number>
  /** A process has ended. */
  onEnd (pid: number): void
}

const program = fileURLToPath(new URL('service-app.js', import.meta.url))

// A busy machine takes its time to start a process, or to end one, in ms.
const patience = 90_000

/** A service whose processes are replaced, one after the other. Each of them has a control connection to this one. */
export class Service {
  readonly name: ServiceName
  readonly story: Story
  readonly #options: ServiceOptions
  readonly #held: HeldListener[] = []
  readonly #control: Server
  readonly #sockets = new Set<Socket>()
  readonly #children = new Set<ChildProcess>()
  readonly #waiting = new Set<(generation: Generation) => void>()
  /** Every process, in the order in which they came. */
  readonly pids: number[] = []
  #alive: Generation[] = []
  /** Who was told to end. */
  readonly #leaving = new Set<Generation>()
  current!: Generation
  ports: Ports = { http1: 0, h2c: 0, tls: 0 }
  #isDestroyed = false

  constructor (options: ServiceOptions) {
    this.name = options.name
    this.#options = options
    this.story = options.journal.service(options.name)
    this.#control = createServer(socket => {
      this.#sockets.add(socket)
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
      readGeneration(socket, () => {}).then(generation => this.#came(generation), () => {})
    })
  }

  async start (): Promise<void> {
    this.#control.listen(this.#controlPath)
    await once(this.#control, 'listening')
    if (this.name === 'held') {
      for (let i = 0; i < 3; i++) this.#held.push(await holdListener())
      const [http1 = 0, h2c = 0, tls = 0] = this.#held.map(({ port }) => port)
      this.ports = { http1, h2c, tls }
    }
    this.current = await this.#spawn()
    const { ports: [http1, h2c, tls] } = await this.current.tells('listening')
    this.ports = { http1, h2c, tls }
    this.story.tell(`process ${this.current.pid} listens on ${http1}, ${h2c} and ${tls}`)
  }

  get #controlPath (): string {
    return join(this.#options.folder, `control-${this.name}`)
  }

  get alive (): readonly Generation[] {
    return this.#alive
  }

  #came (generation: Generation): void {
    const { pid } = generation
    this.pids.push(pid)
    this.#alive.push(generation)
    generation.ended.then(code => {
      this.#alive = this.#alive.filter(one => one !== generation)
      this.story.tell(`process ${pid} has ended with ${code}`)
      this.#options.onEnd(pid)
      const isTold = this.#leaving.delete(generation)
      if (this.#isDestroyed) return
      if (!isTold) this.#options.journal.violation('crash', `process ${pid} of ${this.name} has ended with ${code}, and nobody had told it to`, this.story)
      else if (code !== 0) this.#options.journal.violation('exit code', `process ${pid} of ${this.name} has ended with ${code}`, this.story)
    })
    for (const take of this.#waiting) take(generation)
  }

  #next (what: string): Promise<Generation> {
    return within(patience, what, new Promise<Generation>(resolve => {
      const take = (generation: Generation): void => {
        this.#waiting.delete(take)
        resolve(generation)
      }
      this.#waiting.add(take)
    }))
  }

  async #spawn (): Promise<Generation> {
    const { node, folder, faults, times } = this.#options
    const options = { ...times, handover: true, reusePort: this.name === 'shared' }
    const env = {
      ...process.env,
      NODE_OPTIONS: undefined,
      KUBERNETES_SERVICE_HOST: undefined,
      NOTIFY_SOCKET: undefined,
      TMPDIR: join(folder, 'tmp'),
      CONTROL: this.#controlPath,
      FOLDER: folder,
      PORTS: Object.values(this.ports).join(),
      OPTIONS: JSON.stringify(options),
      FAULTS: faults.join()
    }
    const stdio = ['ignore', 'pipe', 'pipe', ...this.#held.map(({ fd }) => fd)] as const
    // sd_listen_fds(3): who is meant can be said by the process itself alone.
    const [command, ...args] = this.name === 'held'
      ? ['sh', '-c', 'LISTEN_PID=$$ LISTEN_FDS=3 exec "$@"', 'sh', node, program] as const
      : [node, program] as const
    const came = this.#next(`a process of ${this.name} starts`)
    // Ctrl-C in a terminal is for the harness, which ends its services one after the other.
    const child = spawn(command, args, { env, stdio: [...stdio], detached: true })
    this.#children.add(child)
    child.once('close', () => this.#children.delete(child))
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream as NodeJS.ReadableStream }).on('line', line => this.#logged(line))
    const generation = await came
    await within(patience, `process ${generation.pid} of ${this.name} listens`, generation.tells('listening'))
    return generation
  }

  // Warnings are the least that they log, and there is nothing to warn of. What a drain has met its report says, too.
  #logged (line: string): void {
    if (!/"msg":"drain: closed after /.test(line)) this.#options.journal.violation('log', `${this.name}: ${inWords(line)}`, this.story)
    this.story.tell(`logged: ${inWords(line)}`)
  }

  /** Replaces its process; resolves when the old one has ended. */
  async restart (kind: RestartKind): Promise<Restart> {
    const old = this.current
    const ended = old.ended.then(() => performance.now())
    this.story.tell(`${kind} of process ${old.pid} begins`)
    this.#leaving.add(old)
    const began = kind === 'handover' ? await this.#handOver(old) : await this.#terminate(kind, old)
    const exit = await within(patience, `process ${old.pid} of ${this.name} ends`, ended) - began
    const reports = old.told.filter(({ type }) => type === 'report').map(({ app, report: { connections, stragglers, duration, requests } }): Reported =>
      ({ app, connections, stragglers, duration, served: requests.served }))
    return { service: this.name, kind, from: old.pid, to: this.current.pid, exit, reports }
  }

  async #handOver (old: Generation): Promise<number> {
    const came = this.#next(`process ${old.pid} of ${this.name} starts its successor`)
    old.kill('SIGUSR2')
    const successor = await came
    await within(patience, `process ${successor.pid} of ${this.name} listens`, successor.tells('listening'))
    this.story.tell(`process ${successor.pid} listens, and takes over`)
    this.current = successor
    return performance.now()
  }

  async #terminate (kind: RestartKind, old: Generation): Promise<number> {
    const isGap = kind === 'SIGTERM, then start'
    const next = isGap ? null : await this.#spawn()
    if (next !== null) this.story.tell(`process ${next.pid} listens`)
    const began = performance.now()
    this.current = next ?? old
    this.story.tell(`SIGTERM to process ${old.pid}`)
    old.kill('SIGTERM')
    if (!isGap) return began
    await within(patience, `process ${old.pid} of ${this.name} ends`, old.ended)
    this.current = await this.#spawn()
    this.story.tell(`process ${this.current.pid} listens, who has connected meanwhile has waited`)
    return began
  }

  /** What the current process has of everything that can grow. */
  async sample (): Promise<any> {
    this.current.order('sample')
    return within(patience, `process ${this.current.pid} of ${this.name} tells its sample`, this.current.tells('sample'))
  }

  /** SIGTERM to the last process; resolves when all have ended. */
  async stop (): Promise<void> {
    this.story.tell(`SIGTERM to process ${this.current.pid}, the last`)
    this.#leaving.add(this.current)
    this.current.kill('SIGTERM')
    await within(patience, `all processes of ${this.name} end`, Promise.all(this.#alive.map(({ ended }) => ended)))
  }

  /** Whatever is still there goes. */
  async destroy (): Promise<void> {
    this.#isDestroyed = true
    // A process does not outlive its control connection.
    this.#control.close()
    for (const socket of this.#sockets) socket.destroy()
    for (const child of this.#children) child.kill('SIGKILL')
    await Promise.all([...this.#children].map(child => once(child, 'close')))
    for (const held of this.#held.splice(0)) held.close()
  }
}

function inWords (line: string): string {
  if (!line.startsWith('{')) return line
  const { pid, msg, err } = JSON.parse(line)
  return `process ${pid}: ${msg}${err === undefined ? '' : `: ${err.stack}`}`
}

export async function within<T> (ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([promise, new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`this did not come within ${ms} ms: ${what}`)), ms)
    })])
  } finally {
    clearTimeout(timer)
  }
}
