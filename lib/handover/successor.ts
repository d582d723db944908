import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, realpathSync } from 'node:fs'
import { sep } from 'node:path'
import type { Clock } from '../clock.ts'
import type { PassedListener } from '../listen/inherited.ts'
import { Channel } from './channel.ts'
import { speaks, variable, type Order, type Reply } from './protocol.ts'

/** How this process was started, and so its successor. */
export interface StartedAs {
  execPath: string
  args: readonly string[]
  cwd: string
  env: NodeJS.ProcessEnv
}

// The first descriptor behind those of the standard streams and of Node's own channel.
const firstPassed = 4

export interface Ending {
  /** When it is killed, in ms from now. */
  patience: number
  /** It may have connections: otherwise it does not outlive this process. */
  hasConnections: boolean
  /** It does so already. A second signal would cut what it still serves. */
  isEnding: boolean
}

/** The process that takes over, as its predecessor sees it. */
export interface Successor {
  readonly channel: Channel<Reply, Order>
  /** `undefined`: not known yet. */
  readonly pid: number | undefined
  /** In words; `null`: it could not be started. */
  readonly name: string | null
  readonly hasEnded: boolean
  /** What it calls the listener `i` of those that it was told of. */
  listener (i: number): number
  /** `onEnd`: it has ended, or could not be started; in words. */
  watch (onEnd: (how: string) => void): void
  /** Sees that it ends. */
  end (how: Ending): void
}

/** A child of this process. */
export class Child implements Successor {
  readonly channel: Channel<Reply, Order>
  readonly #child: ChildProcess
  readonly #clock: Clock
  #ended: string | null = null

  /** `passed`: descriptors of this process, and what they are. */
  constructor ({ execPath, args, cwd, env }: StartedAs, passed: PassedListener[], clock: Clock) {
    const listeners = passed.map((listener, i) => ({ ...listener, fd: firstPassed + i }))
    this.#clock = clock
    this.#child = spawn(execPath, args, {
      cwd,
      env: { ...env, [variable]: JSON.stringify({ speaks, predecessor: process.pid, listeners }) },
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...passed.map(({ fd }) => fd)]
    })
    this.channel = new Channel(this.#child)
    // It shall not keep this process from ending.
    this.#child.unref()
  }

  listener (i: number): number {
    return firstPassed + i
  }

  get pid (): number | undefined {
    return this.#child.pid
  }

  get name (): string | null {
    return this.pid === undefined ? null : `process ${this.pid}`
  }

  get hasEnded (): boolean {
    return this.#ended !== null
  }

  watch (onEnd: (how: string) => void): void {
    const ended = (how: string): void => {
      if (this.#ended !== null) return
      this.#ended = how
      onEnd(how)
    }
    this.#child.once('error', ({ message }) => ended(`it cannot be started: ${message}`))
    this.#child.once('exit', (code, signal) => ended(signal === null ? `it has ended with code ${code}` : `it was ended by ${signal}`))
  }

  end ({ patience, hasConnections, isEnding }: Ending): void {
    if (this.#ended !== null) return
    const kill = (): void => { this.#child.kill('SIGKILL') }
    if (!isEnding) this.#child.kill('SIGTERM')
    const cancel = this.#clock.after(patience, kill)
    if (!hasConnections) process.once('exit', kill)
    this.#child.once('exit', () => {
      cancel()
      process.off('exit', kill)
    })
  }
}

/** How this process was started, whatever the app has done to its environment since. */
export function startedAs ({ execPath, execArgv, argv, env }: NodeJS.Process): StartedAs {
  return { execPath, args: [...execArgv, ...asGiven(argv.slice(1))], cwd: workingDirectory(env), env: forSuccessor(initialEnvironment() ?? env) }
}

// A release that is deployed by changing a symbolic link: the path that led here leads to the new one.
function workingDirectory ({ PWD: path }: NodeJS.ProcessEnv): string {
  const directory = process.cwd()
  try {
    return path !== undefined && realpathSync(path) === directory ? path : directory
  } catch {
    return directory
  }
}

// Node has made an absolute path of its script, which leads to the version that it was then.
function asGiven ([script, ...args]: string[]): string[] {
  if (script === undefined) return []
  const here = process.cwd() + sep
  return [script.startsWith(here) ? `.${sep}${script.slice(here.length)}` : script, ...args]
}

// An app that reads .env files leaves what is set alone: with its own additions a successor would never see a change.
function initialEnvironment (): NodeJS.ProcessEnv | null {
  try {
    const entries = readFileSync('/proc/self/environ', 'utf8').split('\0').filter(entry => entry.includes('='))
    return Object.fromEntries(entries.map(entry => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]))
  } catch {
    return null
  }
}

// What was meant for this process alone.
function forSuccessor (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own = [variable, 'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE']
  return Object.fromEntries(Object.entries(env).filter(([name]) => !own.includes(name)))
}
