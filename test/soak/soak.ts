import { setMaxListeners } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { serverTimeWait } from '../helpers/drain-inherit.ts'
import { random } from '../helpers/fuzz-random.ts'
import type { Site } from './client.ts'
import { clients } from './clients.ts'
import { Heartbeat } from './heartbeat.ts'
import { harness, Journal, type Violation } from './journal.ts'
import { LedgerFiles } from './ledger-files.ts'
import { Events, Ledger, type Counts, type Step } from './ledger.ts'
import { leftovers, zombies } from './leftovers.ts'
// @ts-expect-error -- plain JavaScript
import { ownSample } from './own-sample.js'
import { Samples, type Sample, type Series } from './samples.ts'
import { Service, type Restart, type RestartKind, type ServiceName } from './service.ts'

export interface SoakOptions {
  /** How long, in ms. */
  duration: number
  /** From one restart to the next, of whatever service, in ms. */
  every: number
  seed: number
  /** The binary of the services. */
  node?: string
  services?: ServiceName[]
  /** What the processes do wrong; see service-app.js. */
  faults?: string[]
  /** Ends it early. */
  signal?: AbortSignal
  onViolation? (violation: Violation): void
  onProgress? (progress: Progress): void
}

export interface Progress { elapsed: number, restarts: Record<string, number>, requests: number, executed: number, events: number, violations: number }

export interface SoakResult {
  seed: number
  /** In ms. */
  duration: number
  /** By service and kind of request. */
  requests: Record<string, Counts>
  executed: number
  events: number
  restarts: Array<Restart & Moment>
  series: Series[]
  samples: Record<string, Sample[]>
  violations: Violation[]
}

/** What was seen around a restart. */
interface Moment {
  /** Since the beginning, in ms. */
  at: number
  /** Connections in TIME_WAIT on the side of the service, when the old process had ended. */
  timeWait: number
}

// In ms. No client is idle for as long as the grace, and nobody is given up although the machine is busy with other things.
const times = { idleGrace: 2000, lingerTimeout: 20_000, lingerTime: 30_000, hardStopAfter: 45_000 }

// The one service whose processes all come from each other is always handed over, so that what each inherits could add up.
const turns: Record<ServiceName, RestartKind[]> = {
  held: ['SIGTERM', 'SIGTERM, then start', 'handover'],
  handed: ['handover'],
  shared: ['reuse-port', 'reuse-port', 'handover']
}

/** Restarts services, by turns, under traffic that never stops, and proves that each request was answered once. */
export async function soak (options: SoakOptions): Promise<SoakResult> {
  const { duration, seed, node = process.execPath, services: names = ['held', 'handed', 'shared'], faults = [], signal, onViolation, onProgress } = options
  const folder = mkdtempSync(join(tmpdir(), 'soak-'))
  mkdirSync(join(folder, 'tmp'))
  const clean = (): void => rmSync(folder, { recursive: true, force: true })
  process.once('exit', clean)
  const journal = new Journal(onViolation)
  const ledger = new Ledger(journal)
  const events = new Events(journal)
  const samples = new Samples()
  const restarts: SoakResult['restarts'] = []
  const files = new LedgerFiles(folder, (pid, line) => {
    const [step, id = '', n] = line.split(' ')
    if (step === 'event') events.writtenBy(pid, id, Number(n))
    else ledger.executedBy(pid, step as Step, id)
  })
  const services = names.map(name => new Service({ name, node, folder, journal, faults, times, onEnd: pid => files.ended(pid) }))
  const stopping = new AbortController()
  setMaxListeners(0, stopping.signal)
  const over = (): void => stopping.abort()
  signal?.addEventListener('abort', over)
  const heartbeat = new Heartbeat(journal.service(harness))
  const looking = setInterval(look, 500)
  let looks = 0
  let lastZombies: number[] = []

  try {
    await Promise.all(services.map(service => service.start()))
    const [users, listeners] = startClients()
    await restartAll()
    over()
    await users
    await Promise.all(services.map(service => service.stop()))
    await listeners
    files.read()
    ledger.judge(true)
    events.judge()
  } catch (error) {
    if (signal?.aborted !== true) journal.violation('soak', `it could not go on: ${(error as Error).stack}`, ...services.map(({ story }) => story))
  } finally {
    over()
    clearInterval(looking)
    heartbeat.stop()
    signal?.removeEventListener('abort', over)
    await Promise.all(services.map(service => service.destroy()))
    files.close()
    for (const what of await leftovers(folder, services.flatMap(({ ports }) => Object.values(ports)))) journal.violation('leftover', what)
    process.off('exit', clean)
    clean()
  }
  samples.judge(journal)
  return {
    seed,
    duration: Math.round(journal.now),
    requests: Object.fromEntries(ledger.counts),
    executed: ledger.executed,
    events: events.count,
    restarts,
    series: samples.series(),
    samples: samples.all(),
    violations: journal.violations
  }

  /** Resolve when all requests have their answers, and when all streams and WebSockets have ended. */
  function startClients (): [Promise<unknown>, Promise<unknown>] {
    const asking: Array<Promise<void>> = []
    const listening: Array<Promise<void>> = []
    for (const [index, service] of services.entries()) {
      const site: Site = { service: service.name, ports: service.ports, story: service.story, journal, ledger, events, stopping: stopping.signal, idleGrace: times.idleGrace, stoodStill: () => heartbeat.longest }
      for (const [kind, { client, count, isEndless }] of Object.entries(clients)) {
        for (let i = 0; i < count; i++) {
          const all = isEndless ? listening : asking
          all.push(client(site, `${service.name}.${kind}.${i}`, random(seed * 1000 + index * 300 + asking.length + listening.length)))
        }
      }
    }
    return [Promise.all(asking), Promise.all(listening)]
  }

  async function restartAll (): Promise<void> {
    const began = performance.now()
    const underWay = new Map<Service, Promise<void>>()
    for (let turn = 0; ; turn++) {
      const at = (turn + 1) * options.every
      // Where they take longer than that, at least one of each kind.
      const isLast = at >= duration || (turn >= 2 * services.length && performance.now() - began > duration)
      await sleep(Math.max(0, began + (isLast ? duration : at) - performance.now()), undefined, { signal: stopping.signal }).catch(() => {})
      if (isLast || stopping.signal.aborted) break
      const service = services[turn % services.length] as Service
      await underWay.get(service)
      const kinds = turns[service.name]
      const restarting = restart(service, kinds[Math.floor(turn / services.length) % kinds.length] as RestartKind)
      restarting.catch(() => {})
      underWay.set(service, restarting)
    }
    await Promise.all(underWay.values())
  }

  async function restart (service: Service, kind: RestartKind): Promise<void> {
    const { current, ports, name } = service
    const [{ isSuccessor }] = current.told
    samples.add(name, isSuccessor ? 'a successor' : 'started', await service.sample())
    samples.add(harness, '', ownSample())
    const at = Math.round(journal.now)
    const done = await service.restart(kind)
    judgeRestart(done, service)
    restarts.push({ ...done, at, timeWait: Object.values(ports).reduce((sum, port) => sum + serverTimeWait(port), 0) })
  }

  function judgeRestart ({ kind, from, exit, reports }: Restart, { name, story }: Service): void {
    const say = (violation: string, what: string): void => journal.violation(violation, `process ${from} of ${name}, ${kind}: ${what}`, story)
    if (exit > times.hardStopAfter + 1000) say('exit late', `it took ${Math.round(exit)} ms to end`)
    if (reports.length !== 3 && !faults.includes('bare')) say('report', `there are ${reports.length} reports of 3 apps`)
    for (const { app, connections: { total, ...outcomes }, stragglers } of reports) {
      const sum = Object.values(outcomes).reduce((sum, count) => sum + count, 0)
      if (sum !== total) say('report', `the one of ${app} does not add up: ${JSON.stringify({ total, ...outcomes })}`)
      // Who stands still itself does not close in time, and has all that was sent.
      const tooLate = heartbeat.longest > times.lingerTimeout / 10 ? 0 : outcomes['timed-out']
      if (outcomes.cut + outcomes['peer-lost'] + tooLate > 0) say('cut', `${app}: ${JSON.stringify(stragglers)}`)
    }
  }

  function look (): void {
    files.read()
    ledger.judge()
    if (looks++ % 4 > 0) return
    // Whoever has just ended may be waited for in a moment.
    const now = zombies([process.pid, ...services.flatMap(({ alive }) => alive.map(({ pid }) => pid))])
    const pids = services.flatMap(service => service.pids)
    for (const pid of now) if (lastZombies.includes(pid) && pids.includes(pid)) journal.violation('zombie', `process ${pid} was not waited for`)
    lastZombies = now
    onProgress?.({
      elapsed: journal.now,
      restarts: countBy(restarts, ({ kind }) => kind),
      requests: [...ledger.counts.values()].reduce((sum, { sent }) => sum + sent, 0),
      executed: ledger.executed,
      events: events.count,
      violations: journal.violations.length
    })
  }
}

export function countBy<T> (all: readonly T[], key: (one: T) => string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const one of all) counts[key(one)] = (counts[key(one)] ?? 0) + 1
  return counts
}
