import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

interface Test { teardown (fn: () => unknown): void }

export interface Program {
  pid: number
  exited: Promise<{ code: number | null, signal: NodeJS.Signals | null }>
  /** The lines of stdout and stderr so far. */
  readonly lines: readonly string[]
  /** Those that are JSON, such as those of a log. */
  readonly told: readonly any[]
  /** The first line of JSON that has all of this, come already or not; rejects when the program ends before. */
  tells (fits: Record<string, unknown>): Promise<any>
  tellsWhere (fits: (message: any) => boolean, what: string): Promise<any>
  /** The same, but each line is told once. */
  tellsAgain (fits: Record<string, unknown>): Promise<any>
  /** The first line with this in it. */
  says (text: string): Promise<string>
  /** A line on its stdin. */
  say (text: string): void
  /** The end of its stdin. */
  endInput (): void
  kill (signal: NodeJS.Signals): void
}

// tap gives every Node that it starts its loaders, which cost more than all the rest.
export const node = ['env', '-u', 'NODE_OPTIONS', process.execPath]

const root = fileURLToPath(new URL('../..', import.meta.url))

export const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))

/** What is missing of these commands, or `false`. In CI everything has to be there: then it runs, and fails. */
export function lacks (...commands: Array<[command: string, debian: string]>): string | false {
  const missing = commands.find(([command]) => spawnSync(command, ['--version']).error !== undefined)
  return missing === undefined ? false : `${missing[0]} is missing (Debian package ${missing[1]})`
}

export const socketActivate: [string, string] = ['systemd-socket-activate', 'systemd']

/** Runs a program to its end, or to that of the test. */
export function startProgram (t: Test, [command = '', ...args]: readonly string[], options: SpawnOptions = {}): Program {
  const child: ChildProcess = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options })
  const lines: string[] = []
  const told: any[] = []
  const given = new Set<any>()
  const looks = new Set<() => void>()
  const look = (): void => { for (const look of [...looks]) look() }
  const read = (line: string): void => {
    lines.push(line)
    if (line.startsWith('{')) told.push(JSON.parse(line))
    look()
  }
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream! }).on('line', read)
  child.stdin?.on('error', () => {})
  let ended = false
  const exited = once(child, 'close').then(([code, signal]) => {
    ended = true
    look()
    return { code, signal }
  })
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
  })

  return {
    pid: child.pid ?? -1,
    exited,
    lines,
    told,
    tells: fits => until(() => told.find(matches(fits)), JSON.stringify(fits)),
    tellsWhere: (fits, what) => until(() => told.find(fits), what),
    async tellsAgain (fits) {
      const message = await until(() => told.find(message => !given.has(message) && matches(fits)(message)), JSON.stringify(fits))
      given.add(message)
      return message
    },
    says: text => until(() => lines.find(line => line.includes(text)), text),
    say: text => { child.stdin?.write(`${text}\n`) },
    endInput: () => { child.stdin?.end() },
    kill: signal => { child.kill(signal) }
  }

  function until <T> (find: () => T | undefined, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = find()
        if (found === undefined && !ended) return
        looks.delete(look)
        if (found !== undefined) resolve(found)
        else reject(new Error(`the program ended before it told ${what}:\n${lines.join('\n')}`))
      }
      looks.add(look)
      look()
    })
  }
}

function matches (fits: Record<string, unknown>): (message: any) => boolean {
  return message => Object.entries(fits).every(([name, value]) => message[name] === value)
}

const levels = { debug: 20, info: 30, warn: 40 }

/** What a program has logged at this level. */
export function logged (program: Program, level: keyof typeof levels): string[] {
  return program.told.filter(message => message.level === levels[level]).map(({ msg }) => msg)
}

/** SIGTERM ends it with 0. */
export async function endsWell (t: Test & { match (found: unknown, wanted: unknown): unknown }, program: Program): Promise<void> {
  program.kill('SIGTERM')
  t.match(await program.exited, { code: 0, signal: null })
}

/** An app of the fixture systemd-service.js. */
export interface AppPlan {
  /** Of the plugin. */
  options?: object
  /** What a listen() that will fail gets, before the one that counts. */
  first?: object
  /** What listen() gets. */
  listen: object
  https?: boolean
}

export interface ServicePlan { apps: AppPlan[] }

/** The environment of the fixture systemd-service.js. */
export function serviceEnv (plan: ServicePlan): Record<string, string> {
  return { SERVICE: JSON.stringify(plan) }
}

/** The command of the fixture systemd-service.js, with these flags of Node. */
export const commandOf = (flags: readonly string[] = []): string[] => [...node, ...flags, fixture('systemd-service.js')]
const serviceCommand = commandOf()

/** The same under the permission model: it may read this project, and nothing else; no addons. */
export const permittedCommand = (flags: readonly string[] = []): string[] => commandOf([
  hasFlag('--permission') ? '--permission' : '--experimental-permission',
  `--allow-fs-read=${root}*`,
  ...(hasFlag('--allow-net') ? ['--allow-net'] : []),
  ...flags
])

function hasFlag (flag: string): boolean {
  return process.allowedNodeEnvironmentFlags.has(flag)
}

/** Starts the service with inherited descriptors from 3 on, made by systemd-inherit.py. */
export function startInheriting (
  t: Test, kinds: ReadonlyArray<string | object>, plan: ServicePlan, env: NodeJS.ProcessEnv = {}, command = serviceCommand
): Program {
  return startProgram(t, ['python3', fixture('systemd-inherit.py'), JSON.stringify(kinds), ...command], {
    env: { ...process.env, LISTEN_PID: undefined, LISTEN_FDS: undefined, LISTEN_FDNAMES: undefined, ...serviceEnv(plan), ...env }
  })
}

/** Starts a command by systemd-socket-activate, which does so when the first connection comes. */
export async function startActivated (
  t: Test, sockets: readonly string[], plan: ServicePlan, { names = '', command = serviceCommand }: { names?: string, command?: readonly string[] } = {}
): Promise<Program> {
  const activator = startProgram(t, [
    'systemd-socket-activate', ...sockets.flatMap(address => ['-l', address]), ...(names === '' ? [] : [`--fdname=${names}`]), '-E', 'SERVICE', ...command
  ], { env: { ...process.env, ...serviceEnv(plan) } })
  for (const address of sockets) await activator.says(`Listening on ${address} as`)
  return activator
}

/** The command of a supervisor that starts the service again on the same sockets, as systemd does. */
export const supervised = (command = serviceCommand): string[] => ['python3', fixture('systemd-supervisor.py'), ...command]

/**
 * A port that nobody uses on these addresses: systemd has no way to ask the kernel for one. It is below those that
 * the kernel gives to clients.
 */
export async function unusedPort (...hosts: string[]): Promise<number> {
  for (let i = 0; i < 100; i++) {
    const port = 10_240 + Math.floor(Math.random() * 20_000)
    if (await areFree(hosts.length > 0 ? hosts : ['127.0.0.1'], port)) return port
  }
  throw new Error('no unused port was found')
}

async function areFree (hosts: string[], port: number): Promise<boolean> {
  for (const host of hosts) {
    // One after the other: a wildcard address is in the way of all.
    if (!await isFree(host, port)) return false
  }
  return true
}

function isFree (host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer().once('error', () => resolve(false))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
