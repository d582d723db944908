import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// With --kill-child the process goes when unshare does.
const unshare = ['--pid', '--fork', '--kill-child', '--mount-proc']

/** What is missing to start a process as PID 1 of a PID namespace, or `false`. */
export function missingForPid1 (): string | false {
  const { error, status } = spawnSync('unshare', [...unshare, 'true'])
  if (error !== undefined) return 'unshare (util-linux) is missing'
  return status === 0 ? false : 'unshare (util-linux) may not make a PID namespace here; that needs root'
}

/** This command as PID 1; the process that is started is its parent. */
export const commandAsPid1 = (command: readonly string[]): string[] => ['unshare', ...unshare, ...command]

/** The PID that the child of this process has out here. */
export function pid1Of (parent: number): number {
  return Number(readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim())
}

export interface Pid1 {
  /** Resolves with the first message of this type; rejects when the process ends before. */
  told (type: string): Promise<any>
  /** All messages so far. */
  readonly messages: readonly any[]
  kill (signal: NodeJS.Signals): void
  exited: Promise<{ code: number | null, signal: NodeJS.Signals | null }>
}

/** Starts a TypeScript fixture as PID 1, as in a container, with the loaders of this test. Killed on teardown. */
export function startAsPid1 (t: { teardown (fn: () => unknown): void }, fixture: URL, env: Record<string, string> = {}): Pid1 {
  const loaders = process.execArgv.filter(argument => !argument.includes('@tapjs/mock'))
  const child = spawn('unshare', [...unshare, process.execPath, ...loaders, fileURLToPath(fixture)], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, KUBERNETES_SERVICE_HOST: undefined, ...env }
  })
  const messages: any[] = []
  child.on('message', message => { messages.push(message) })
  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })

  return {
    messages,
    exited,
    async told (type) {
      const over = exited.then(({ code }) => { throw new Error(`the process ended (code ${code}) before it told "${type}"`) })
      over.catch(() => {})
      while (true) {
        const message = messages.find(message => message.type === type)
        if (message !== undefined) return message
        await Promise.race([once(child, 'message'), over])
      }
    },
    kill (signal) {
      process.kill(pid1Of(child.pid as number), signal)
    }
  }
}
