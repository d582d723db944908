import { eventually } from './app.ts'
import type { Plan } from './handover-plan.ts'
import type { FaultyService } from './handover-service.ts'

/** They take minutes, and the lines of Node differ in nothing here: the oldest and the newest stand for all. */
export function elsewhere (): string | false {
  return /^v2[06]\./.test(process.version) ? false : 'it runs on Node 20 and 26'
}

/** Begins a handover by this plan; resolves with what the first process logs of it, when it has failed. */
export async function fails (service: FaultyService, plan: Plan): Promise<string> {
  const from = service.lines.length
  service.plan(plan)
  process.kill(service.pid, 'SIGUSR2')
  const { msg, err } = await service.line('the handover has failed', ({ pid, level }) => pid === service.pid && level === 50, from)
  return `${msg}: ${err?.message}`
}

/** A handover in which nothing goes wrong; the service ends with SIGTERM to the successor. */
export async function goesOn (service: FaultyService): Promise<number> {
  const from = service.lines.length
  service.plan({})
  process.kill(service.pid, 'SIGUSR2')
  const { pid } = await service.line('the next successor listens', ({ event }) => event === 'listening', from)
  await service.ended(service.pid)
  return pid
}

/** Tells these processes to end, and waits until none is left. */
export async function ends (service: FaultyService, ...pids: number[]): Promise<void> {
  for (const pid of pids) process.kill(pid, 'SIGTERM')
  await eventually(() => service.alive().length === 0, 'no process is left')
}

/** What was executed more than once. */
export function twice (service: FaultyService): string[] {
  return [...service.ledger()].filter(([, { executed }]) => executed.length > 1).map(([id]) => id)
}

/** Of the offers and other messages of a handover with eight clients. */
export const inTheMiddle = 4
