import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
  /** `performance.now()` of this process when the exit was seen. */
  at: number
}

export interface StartOptions {
  /** On top of this process's environment; `undefined` removes a variable. */
  env?: Record<string, string | undefined>
  args?: string[]
  /** On top of the loader flags of this process. */
  nodeArgs?: string[]
  /** A command that runs Node in its own place, such as `['ip', 'netns', 'exec', name]`. */
  under?: string[]
}

export interface StartedProcess {
  child: ChildProcess
  pid: number
  /** Resolves when the process has ended and its output has been read. */
  exited: Promise<Exit>
  /** The complete lines of stdout so far. */
  readonly lines: readonly string[]
  /** All of stderr so far. */
  readonly stderr: string
  /**
   * The first IPC message that fits, one that has come already or the next one; each message is given out once.
   * Rejects with the output of the process when it ends before.
   */
  message (fits?: (message: any) => boolean): Promise<any>
}

interface Waiter {
  fits: (message: any) => boolean
  resolve: (message: any) => void
  reject: (error: Error) => void
}

/**
 * Forks a TypeScript fixture with the loaders of this test, on every Node line; its coverage counts, unless it ends
 * by SIGKILL. Killed on teardown.
 *
 * A fixture that listens to `message` stays alive until `process.disconnect()` or `process.exit()`.
 */
export function startProcess (
  t: { teardown (fn: () => unknown): void },
  fixture: URL | string,
  { env = {}, args = [], nodeArgs = [], under = [] }: StartOptions = {}
): StartedProcess {
  const [execPath = process.execPath, ...execArgv] = [...under, process.execPath]
  const child = fork(fixture, args, {
    execPath,
    execArgv: [...execArgv, ...inheritedArgv(), ...nodeArgs],
    env: { ...process.env, ...env },
    silent: true
  })
  const messages: any[] = []
  const waiters: Waiter[] = []
  const lines: string[] = []
  let unfinished = ''
  let stderr = ''

  child.on('message', message => {
    const index = waiters.findIndex(({ fits }) => fits(message))
    if (index < 0) messages.push(message)
    else waiters.splice(index, 1)[0]?.resolve(message)
  })
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (unfinished + text).split('\n')
    unfinished = parts.pop() ?? ''
    lines.push(...parts)
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => { stderr += text })

  const exited = untilExit(child)
  exited.then(async () => {
    const error = await endedEarly()
    for (const { reject } of waiters.splice(0)) reject(error)
  })

  t.teardown(async () => {
    if (isAlive(child)) child.kill('SIGKILL')
    await exited
  })

  return {
    child,
    pid: child.pid ?? -1,
    exited,
    lines,
    get stderr () { return stderr },
    async message (fits = () => true) {
      // The last messages may still be on their way when the process has ended.
      if (!isAlive(child)) await exited
      const index = messages.findIndex(fits)
      if (index >= 0) return messages.splice(index, 1)[0]
      if (!isAlive(child)) throw await endedEarly()
      return new Promise((resolve, reject) => { waiters.push({ fits, resolve, reject }) })
    }
  }

  async function endedEarly (): Promise<Error> {
    const { code, signal } = await exited
    const output = [...lines, unfinished, stderr].join('\n').trim()
    const error = new Error(`the process ended (code ${code}, signal ${signal}) before it sent that message`)
    return Object.assign(error, { output })
  }
}

function isAlive (child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

async function untilExit (child: ChildProcess): Promise<Exit> {
  const closed = once(child, 'close')
  const [code, signal] = await once(child, 'exit')
  const at = performance.now()
  // The pipes end with the process, unless a process of its own still holds them: then this is all there is to read.
  const enough = new AbortController()
  setTimeout(() => enough.abort(), 500).unref()
  await Promise.race([closed, once(enough.signal, 'abort')])
  return { code, signal, at }
}

/** tap's loaders, without the one for module mocks: it costs a quarter of a second per process. */
function inheritedArgv (): string[] {
  return process.execArgv.filter(argument => !argument.includes('@tapjs/mock'))
}
