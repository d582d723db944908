import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

interface Test { teardown (fn: () => unknown): void, testdir (files: Record<string, string>): string }

export interface Worker { pid: number, to: { host: string, port: number } }

/** What the next worker is like. */
export interface WorkerPlan {
  /** Of the plugin. */
  options?: object
  listen?: object
  /** What it does instead of getting ready. */
  instead?: 'throw' | 'hang' | 'fail'
}

const host = '127.0.0.1'

/** A primary, and workers that are started one by one. All are gone on teardown. */
export async function startCluster (t: Test, { policy = 'rr', ...plan }: WorkerPlan & { policy?: string } = {}) {
  const ledger = join(t.testdir({ ledger: '' }), 'ledger')
  const child = fork(fileURLToPath(new URL('../fixtures/cluster-apps.js', import.meta.url)), {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: {
      ...process.env,
      // tap's loaders, which cost more than all the rest.
      NODE_OPTIONS: '',
      NODE_CLUSTER_SCHED_POLICY: policy,
      KUBERNETES_SERVICE_HOST: undefined,
      LEDGER: ledger
    }
  })
  const pid = child.pid as number
  const exited = once(child, 'exit')
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', text => { stderr += text })
  const messages: any[] = []
  const running = new Set<number>()
  const planned = ({ options = {}, listen = { host, port: 0 }, ...more }: WorkerPlan): string =>
    JSON.stringify({ options: { idleGrace: 500, peerCloseTimeout: 100, ...options }, listen, ...more })
  child.on('message', (message: any) => {
    messages.push(message)
    if (message.type === 'exit') running.delete(message.pid)
    else if (message.pid !== undefined) running.add(message.pid)
  })
  t.teardown(async () => {
    for (const pid of running) kill(pid, 'SIGKILL')
    if (child.exitCode === null) kill(pid, 'SIGKILL')
    await exited
  })
  const message = async (fits: object): Promise<any> => {
    const over = exited.then(() => { throw new Error(`the primary ended before ${JSON.stringify(fits)}: ${JSON.stringify(messages)}\n${stderr}`) })
    over.catch(() => {})
    while (true) {
      const found = messages.findIndex(message => Object.entries(fits).every(([name, value]) => message[name] === value))
      if (found >= 0) return messages.splice(found, 1)[0]
      await Promise.race([once(child, 'message'), over])
    }
  }
  await message({ type: 'primary' })

  return {
    pid,
    message,
    exit: (pid: number) => message({ type: 'exit', pid }),
    async fork (): Promise<Worker> {
      child.send({ order: 'fork', plan: planned(plan) })
      const { pid, port } = await message({ type: 'listening' })
      return { pid, to: { host, port } }
    },
    /** Has the next worker take over; resolves with its pid, or with what the primary was told instead. */
    async replace (old: number, next: WorkerPlan = plan): Promise<any> {
      child.send({ order: 'replace', old, plan: planned(next) })
      return message({ type: 'replaced', old })
    },
    /** Tells a worker something: `handover`, `release`. */
    tell (pid: number, what: string): void {
      child.send({ order: 'tell', pid, what })
    },
    /** Which process has executed which request. */
    executed (): Array<{ pid: number, id: string }> {
      return readFileSync(ledger, 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line))
    },
    /** Nothing keeps it: it ends by itself. */
    async leave (): Promise<unknown> {
      child.send({ order: 'leave' })
      const [code] = await exited
      return code
    }
  }
}

export function kill (pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended.
  }
}
