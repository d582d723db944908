import { setTimeout as sleep } from 'node:timers/promises'
import { random, type Random } from './fuzz-random.ts'
import { load, type Load } from './handover-clients.ts'
import type { Plan, Strike } from './handover-plan.ts'
import { faultyService, isAlive, type FaultyService } from './handover-service.ts'

export interface FaultRun {
  /** What went wrong; empty: nothing. */
  wrong: string[]
  fault: string
  /** Whether the fault has happened: the handover can be over before. */
  struck: boolean
  handedOver: boolean
  executed: number
  /** Requests that were executed and not answered, all of them by a process that was killed. */
  diedWith: number
}

interface Fault {
  side: Strike['side']
  signal: 'SIGKILL' | 'SIGSTOP' | 'SIGTERM'
  /** Said or heard on the channel, or reached by the fixture; `null`: at a random time. */
  at: string | null
  nth: number
  /** How much later, or after the beginning, in ms. */
  after: number
  /** Until SIGCONT, in ms. */
  stopped: number
}

const moments = {
  predecessor: ['spawn', 'hears hello', 'hears ready', 'sends offer', 'hears have', 'sends yours', 'hears took', 'leaves'],
  successor: ['start', 'loaded', 'sends hello', 'listens', 'sends ready', 'hears offer', 'sends have', 'hears yours', 'sends took']
}

function randomFault ({ int, pick }: Random): Fault {
  const side = pick(['predecessor', 'successor'] as const)
  const isTimed = int(0, 3) === 0
  return {
    side,
    signal: pick(['SIGKILL', 'SIGKILL', 'SIGKILL', 'SIGSTOP', 'SIGTERM'] as const),
    at: isTimed ? null : pick(moments[side]),
    nth: pick([1, 1, 2, 3, 5]),
    after: isTimed ? int(0, 2500) : pick([0, 0, 0, 1, int(2, 20)]),
    stopped: pick([50, 300, 1000, 6500])
  }
}

// A process that drains, or that its predecessor gives up, is gone after that long, also where much else is going on, in ms.
const patience = 90_000

/** One handover under load, in which one thing goes wrong. */
export async function faultRun (seed: number): Promise<FaultRun> {
  const numbers = random(seed)
  const fault = randomFault(numbers)
  const undo: Array<() => unknown> = []
  try {
    const service = await faultyService({ teardown: fn => { undo.unshift(fn) } }, { options: { hardStopAfter: 20_000 } })
    const clients = load({ port: service.port, clients: numbers.int(4, 16), seed, think: 60, work: numbers.int(0, 40) })
    await until(() => clients.answered > 30, 'the clients are at work')
    await strike(service, fault)
    return await judge(service, clients, fault)
  } finally {
    for (const fn of undo) await fn()
  }
}

async function strike (service: FaultyService, { side, signal, at, nth, after, stopped }: Fault): Promise<void> {
  const plan: Plan = at === null ? {} : { strikes: [{ side, at, nth, action: signal, ...(after > 0 ? { after } : {}) }] }
  service.plan(plan)
  process.kill(service.pid, 'SIGUSR2')
  if (at === null) {
    await service.line('the successor was started', ({ event }) => event === 'spawned')
    await sleep(after)
    const target = side === 'predecessor' ? service.pid : service.pids[1]
    if (target !== undefined && isAlive(target)) {
      service.told.push({ pid: target, event: 'struck', action: signal })
      process.kill(target, signal)
    }
  }
  // It succeeds, or somebody dies, or says that it has failed.
  await until(() => isOver(service) || struck(service)?.action === 'SIGSTOP', 'the handover comes to an end')
  const victim = struck(service)
  if (victim?.action === 'SIGSTOP') {
    await sleep(stopped)
    if (isAlive(victim.pid)) process.kill(victim.pid, 'SIGCONT')
    await until(() => isOver(service), 'the handover comes to an end')
  }
}

function struck ({ lines, told }: FaultyService): { pid: number, action: string } | undefined {
  return [...lines, ...told].find(({ event }) => event === 'struck') as { pid: number, action: string } | undefined
}

function isOver (service: FaultyService): boolean {
  return !isAlive(service.pid) || service.errors(service.pid).some(text => text.startsWith('handover: it has failed'))
}

async function judge (service: FaultyService, clients: Load, fault: Fault): Promise<FaultRun> {
  const victim = struck(service)
  const wrong: string[] = []
  const note = (isRight: boolean, what: string): void => { if (!isRight) wrong.push(what) }

  // One of them is left, and serves; unless SIGTERM came to the service, or the successor died when its predecessor had begun to leave.
  await until(() => service.alive().length <= 1, 'at most one process is left')
  const before = clients.answered
  const [left] = service.alive()
  const handedOver = service.lines.some(({ msg }) => msg?.includes('has taken over after') === true)
  const mayEnd = victim?.action === 'SIGTERM' || (victim !== undefined && victim.pid !== service.pid && handedOver)
  if (!mayEnd) {
    note(left !== undefined, 'nobody is left')
    if (left !== undefined) {
      await until(() => clients.answered > before + 10 || !isAlive(left), 'whoever is left serves')
      note(isAlive(left), `process ${left} has ended by itself`)
    }
  }
  note(clients.refused.length === 0 || mayEnd, `the listener was gone ${clients.refused.length} times`)
  await clients.stop()
  for (const pid of service.alive()) process.kill(pid, 'SIGTERM')
  await until(() => service.alive().length === 0, 'no process is left at the end')

  const killed = new Set(victim?.action === 'SIGKILL' ? [victim.pid] : [])
  const broken = new Map(clients.broken.map(each => [each.id, each.error]))
  const ledger = [...service.ledger()]
  let diedWith = 0
  for (const [id, { executed }] of ledger) {
    note(executed.length <= 1, `${id} was executed by ${executed.join(' and ')}`)
    const error = broken.get(id)
    if (error === undefined) continue
    if (executed.every(pid => killed.has(pid))) diedWith++
    else wrong.push(`${id} was executed by ${executed.join()} and not answered: ${error}`)
  }
  // Those that nobody executed have been lost only with a process.
  const untouched = clients.broken.filter(({ id }) => !ledger.some(([each]) => each === id))
  note(untouched.length === 0 || victim !== undefined, `${untouched.length} requests were lost although nobody was struck: ${JSON.stringify(untouched[0])}`)
  for (const pid of service.pids) note(service.errors(pid).length <= 1, `process ${pid} has more than one error in its log`)
  if (service.stderr.includes('Error')) note(victim?.action === 'SIGKILL', `stderr: ${service.stderr.slice(0, 500)}`)
  return { wrong, fault: inWords(fault), struck: victim !== undefined, handedOver, executed: ledger.length, diedWith }
}

function inWords ({ side, signal, at, nth, after, stopped }: Fault): string {
  const when = at === null ? `${after} ms after the beginning` : `${after} ms after it ${at}${nth > 1 ? ` for the ${nth}th time` : ''}`
  return `${signal} to the ${side} ${when}${signal === 'SIGSTOP' ? `, for ${stopped} ms` : ''}`
}

async function until (probe: () => boolean, what: string): Promise<void> {
  const end = performance.now() + patience
  while (!probe()) {
    if (performance.now() > end) throw new Error(`this did not come true within ${patience} ms: ${what}`)
    await sleep(10)
  }
}
