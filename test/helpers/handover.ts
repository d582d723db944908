import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync, mkdtempSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { eventually } from './app.ts'

interface Test { teardown (fn: () => unknown): void }

/** An app of the fixture handover-app.js. */
export interface AppPlan {
  /** Of the plugin. */
  options?: object
  /** Of Fastify. */
  server?: object
  tls?: boolean
  webSocket?: boolean
  copy?: 'esm' | 'cjs'
  listen: object
}

/** What the fixture handover-app.js does; each generation reads it anew. */
export interface Plan {
  apps: AppPlan[]
  /** It is ready when the test releases `ready`. */
  ready?: boolean
  /** At which order of its predecessor a successor stands still until the file `go` is there. */
  blockAt?: 'offer' | 'yours'
  /** Of each server. */
  serverProperties?: object
  /** What the app adds to its environment. */
  env?: Record<string, string>
  version?: number
}

export interface Address { address: string, port: number, family: string }

/** One process of a service. */
export interface Generation {
  pid: number
  /** What it has told so far. */
  readonly told: readonly any[]
  /** The first message that has all of this, come already or not; rejects when the process ends before. */
  tells (type: string, fits?: Record<string, unknown>): Promise<any>
  order (order: string, more?: object): void
  kill (signal: NodeJS.Signals): void
  /** Resolves with its exit code when it has ended; `null`: by a signal. */
  ended: Promise<number | null>
  hasEnded: boolean
}

export interface Service {
  folder: string
  /** The first process, and its successors in the order in which they came. */
  readonly generations: readonly Generation[]
  /** The process `i`, when it has come. */
  generation (i: number): Promise<Generation>
  /** Where an app of the first process listens. */
  address (app?: number): { host: string, port: number }
  /** Changes what the next process does. */
  change (changes: Partial<Plan>): void
  /** The file `go`: whoever stands still waits for it. */
  readonly gate: string
  /** Lets whoever stands still go on. */
  go (): void
  readonly lines: readonly string[]
  /** The log of all processes. */
  readonly log: readonly any[]
  /** A line of the log, or of the output, with this in it. */
  says (text: string): Promise<void>
  /** Sends the signal to the newest process; resolves with both when the successor has taken over. */
  handOver (): Promise<[old: Generation, successor: Generation]>
}

export interface ServiceOptions {
  script?: string
  cwd?: string
  env?: NodeJS.ProcessEnv
  nodeArgs?: string[]
  args?: string[]
  /** A command that starts Node. */
  under?: string[]
  /** What systemd-socket-activate needs when it listens: a connection, before there is a process. */
  wake?: () => unknown
}

const script = fileURLToPath(new URL('../fixtures/handover-app.js', import.meta.url))

/**
 * Starts a service of which each process can hand over to the next. All of them end with the test: a process of it does not
 * outlive its control socket.
 */
export async function startService (t: Test, plan: Plan, options: ServiceOptions = {}): Promise<Service> {
  const folder = mkdtempSync(join(tmpdir(), 'handover-'))
  const file = join(folder, 'go')
  const generations: Generation[] = []
  const lines: string[] = []
  const log: any[] = []
  const changed = new Set<() => void>()
  const notify = (): void => { for (const check of [...changed]) check() }
  const write = (): void => writeFileSync(join(folder, 'plan.json'), JSON.stringify({ ...plan, blockedUntil: file }))
  write()

  const sockets = new Set<Socket>()
  const control = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    readGeneration(socket, notify).then(generation => {
      generations.push(generation)
      notify()
    }, () => {})
  })
  await new Promise<void>(resolve => control.listen(join(folder, 'control'), resolve))

  const [command, ...args] = [
    // tap gives every Node that it starts its loaders, which cost more than all the rest.
    'env', '-u', 'NODE_OPTIONS', ...options.under ?? [], process.execPath, ...options.nodeArgs ?? [], options.script ?? script, ...options.args ?? []
  ] as const
  const child = spawn(command, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: {
      ...process.env,
      KUBERNETES_SERVICE_HOST: undefined,
      NOTIFY_SOCKET: undefined,
      CONTROL: join(folder, 'control'),
      PLAN: join(folder, 'plan.json'),
      ...options.env
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  readLines(child, line => {
    lines.push(line)
    if (line.startsWith('{')) log.push(JSON.parse(line))
    notify()
  })
  t.teardown(async () => {
    // Nobody who comes from now on gets in, and whoever is there ends itself.
    control.close()
    for (const socket of sockets) socket.destroy()
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    for (const { pid, hasEnded } of generations) if (!hasEnded) killIfThere(pid)
    await Promise.all(generations.map(({ ended }) => ended))
    rmSync(folder, { recursive: true })
  })

  const service: Service = {
    folder,
    gate: file,
    generations,
    lines,
    log,
    generation: async i => {
      await until(changed, () => generations.length > i, () => `process ${i} of the service`, () => lines)
      return generations[i] as Generation
    },
    address (app = 0) {
      const [{ address: host, port }] = generations[0]?.told.find(({ type }) => type === 'listening').addresses[app]
      return { host, port }
    },
    change (changes) {
      rmSync(file, { force: true })
      Object.assign(plan, changes)
      write()
    },
    go: () => writeFileSync(file, ''),
    says: text => until(changed, () => lines.some(line => line.includes(text)), () => text, () => lines),
    async handOver () {
      const old = generations.at(-1) as Generation
      old.kill('SIGUSR2')
      const successor = await service.generation(generations.indexOf(old) + 1)
      await service.says(`process ${successor.pid} has taken over`)
      return [old, successor]
    }
  }
  if (options.wake !== undefined) {
    await service.says('Listening on')
    await options.wake()
  }
  const first = await service.generation(0)
  await first.tells('listening').catch(error => { throw new Error(`${error}\n${lines.join('\n')}`) })
  return service
}

function readLines (child: ChildProcess, read: (line: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream as NodeJS.ReadableStream }).on('line', read)
}

function killIfThere (pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {}
}

/** A process that tells what happens, line by line, `started` with its pid first and `exit` with its code last. */
export async function readGeneration (socket: Socket, notify: () => void): Promise<Generation> {
  const told: any[] = []
  const changed = new Set<() => void>()
  const check = (): void => {
    for (const look of [...changed]) look()
    notify()
  }
  let over = false
  const ended = new Promise<number | null>(resolve => {
    socket.on('close', () => {
      over = true
      resolve(told.find(({ type }) => type === 'exit')?.code ?? null)
      check()
    })
  })
  const tells = async (type: string, fits: Record<string, unknown> = {}): Promise<any> => {
    const find = (): any => told.find(message => message.type === type && Object.entries(fits).every(([name, value]) => message[name] === value))
    await until(changed, () => find() !== undefined || over, () => `message ${type} ${JSON.stringify(fits)}`, () => told)
    if (find() === undefined) throw new Error(`the process ended before it told ${type} ${JSON.stringify(fits)}: ${JSON.stringify(told.slice(1))}`)
    return find()
  }
  createInterface({ input: socket }).on('line', line => {
    told.push(JSON.parse(line))
    check()
  }).on('error', () => {})
  const { pid } = await tells('started')
  return {
    pid,
    told,
    tells,
    order: (order, more = {}) => { socket.write(`${JSON.stringify({ order, ...more })}\n`) },
    kill: signal => { process.kill(pid, signal) },
    ended,
    get hasEnded () { return over }
  }
}

// A machine that has a lot to do.
const longest = 60_000

function until (changed: Set<() => void>, isSo: () => boolean, what: () => string, context: () => readonly unknown[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      changed.delete(check)
      reject(new Error(`this did not come within ${longest} ms: ${what()}\n${context().map(line => typeof line === 'string' ? line : JSON.stringify(line)).join('\n')}`))
    }, longest)
    const check = (): void => {
      if (!isSo()) return
      clearTimeout(timer)
      changed.delete(check)
      resolve()
    }
    changed.add(check)
    check()
  })
}

/** The sockets that a process has open, as /proc names them. */
export function socketsOf (pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
    try {
      const link = readlinkSync(`/proc/${pid}/fd/${fd}`)
      return link.startsWith('socket:') ? [link] : []
    } catch {
      return []
    }
  })
}

/** Which clients of this port a process has descriptors of, by their own ports. */
export function clientsOf (pid: number, port: number): number[] {
  const sockets = socketsOf(pid)
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap(path => readFileSync(path, 'utf8').split('\n')).flatMap(line => {
    const [, local = '', remote = '', state, , , , , , inode = ''] = line.trim().split(/\s+/)
    // Everything but TCP_LISTEN.
    const isOne = portOf(local) === port && state !== '0A' && sockets.includes(`socket:[${inode}]`)
    return isOne ? [portOf(remote)] : []
  })
}

function portOf (address: string): number {
  return parseInt(address.split(':')[1] ?? '', 16)
}

/** Waits until a process has descriptors of so many clients of this port. */
export async function holds (pid: number, port: number, count: number): Promise<void> {
  await eventually(() => clientsOf(pid, port).length === count, `process ${pid} has ${count} clients`)
}
