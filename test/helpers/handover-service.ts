import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Plan } from './handover-plan.ts'
import { startProcess } from './process.ts'

/** A line that a version of the service has written: something of its own, or of its log. */
export interface Line { pid: number, event?: string, level?: number, msg?: string, [more: string]: any }

export interface Steps { executed: number[], answered: number[] }

export interface FaultyService {
  readonly pid: number
  readonly ports: number[]
  readonly port: number
  /** Every process of it that was ever started. */
  readonly pids: number[]
  readonly lines: readonly Line[]
  /** What the test has to add to that. */
  readonly told: Line[]
  /** For those who start from now on, and for what they do when they have started a successor. */
  plan (plan: Plan): void
  /** The first line behind `from` (`lines.length` of before) that fits; rejects after 30 s. */
  line (what: string, fits: (line: Line) => boolean, from?: number): Promise<Line>
  /** What a process has logged as an error. */
  errors (pid: number): string[]
  alive (): number[]
  /** Resolves when this process has ended. */
  ended (pid: number): Promise<void>
  /** Which processes have executed a request, and which have answered it. */
  ledger (): Map<string, Steps>
  readonly stderr: string
}

// Where much else is going on, a process takes its time to start, in ms.
const patience = 90_000

/** Starts the first version; whatever comes of it is killed on teardown. */
export async function faultyService (t: { teardown (fn: () => unknown): void }, first: Plan = {}, script = fileURLToPath(new URL('../fixtures/handover-faulty.ts', import.meta.url))): Promise<FaultyService> {
  const folder = mkdtempSync(join(tmpdir(), 'handover-'))
  const files = { plan: join(folder, 'plan'), ledger: join(folder, 'ledger') }
  const lines: Line[] = []
  const waiting = new Set<() => void>()
  const setPlan = (plan: Plan): void => {
    writeFileSync(`${files.plan}.new`, JSON.stringify({ ...first, ...plan }))
    renameSync(`${files.plan}.new`, files.plan)
  }
  const pids = (): number[] => [started.pid, ...lines.filter(({ event }) => event === 'spawned').map(({ child }) => child)]
  // Its number may belong to somebody else by now.
  const isOurs = (pid: number): boolean => isAlive(pid) && readIfThere(`/proc/${pid}/environ`).includes(files.plan)

  t.teardown(async () => {
    for (const pid of pids().filter(isOurs)) process.kill(pid, 'SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  setPlan({})
  writeFileSync(files.ledger, '')
  const started = startProcess(t, script, {
    env: { PLAN: files.plan, LEDGER: files.ledger, TEST: String(process.pid), KUBERNETES_SERVICE_HOST: undefined, NOTIFY_SOCKET: undefined }
  })
  let unfinished = ''
  started.child.stdout?.on('data', (text: string) => {
    const parts = (unfinished + text).split('\n')
    unfinished = parts.pop() ?? ''
    for (const part of parts) if (part.startsWith('{"')) lines.push(JSON.parse(part))
    for (const check of [...waiting]) check()
  })

  const service: FaultyService = {
    pid: started.pid,
    ports: [],
    get port () { return service.ports[0] as number },
    get pids () { return pids() },
    lines,
    told: [],
    get stderr () { return started.stderr },
    plan: setPlan,
    line (what, fits, from = 0) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => done(() => reject(Object.assign(new Error(`this was not said: ${what}`), { lines, stderr: started.stderr }))), patience)
        const check = (): void => {
          const found = lines.slice(from).find(fits)
          if (found !== undefined) done(() => resolve(found))
        }
        const done = (settle: () => void): void => {
          clearTimeout(timer)
          waiting.delete(check)
          settle()
        }
        waiting.add(check)
        check()
      })
    },
    errors: pid => lines.filter(line => line.pid === pid && (line.level ?? 0) >= 50).map(({ msg, err }) => `${msg}: ${err?.message}`),
    alive: () => pids().filter(isAlive),
    async ended (pid) {
      const end = performance.now() + patience
      while (isAlive(pid)) {
        if (performance.now() > end) throw new Error(`process ${pid} is still there`)
        await new Promise(resolve => setTimeout(resolve, 10))
      }
    },
    ledger () {
      const ledger = new Map<string, Steps>()
      for (const line of readFileSync(files.ledger, 'utf8').split('\n').slice(0, -1)) {
        const [pid, step, id] = line.split(' ') as [string, keyof Steps, string]
        const steps = ledger.get(id) ?? { executed: [], answered: [] }
        steps[step].push(Number(pid))
        ledger.set(id, steps)
      }
      return ledger
    }
  }
  const { ports } = await service.line('the first version listens', ({ event }) => event === 'listening')
  service.ports.push(...ports)
  return service
}

/** Whoever has ended and was not waited for by its parent is not alive. */
export function isAlive (pid: number): boolean {
  const state = /\) (\S)/.exec(readIfThere(`/proc/${pid}/stat`))?.[1]
  return state !== undefined && state !== 'Z' && state !== 'X'
}

export function descriptors (pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

function readIfThere (path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
