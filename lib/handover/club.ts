import cluster from 'node:cluster'
import type { Clock } from '../clock.ts'
import { errors } from '../errors.ts'
import { otherAppsPatience, type Inherited } from '../listen/inherited.ts'
import { endProcess } from '../signals.ts'
import { handOver, type HandoverEnv, type Member } from './handover.ts'
import { Line, onReplacement } from './line.ts'
import { OtherWorker } from './other-worker.ts'
import { predecessorOf, type Predecessor } from './predecessor.ts'
import { Child, type StartedAs } from './successor.ts'

/** What a successor needs to know of one of its apps. */
export interface Newcomer {
  /** Resolves when it is ready, once it listens. */
  ready (): Promise<unknown>
  /** It will not be. */
  failed (error: unknown): void
}

/*
 * A process has one predecessor and one successor, whatever number of apps, and of copies of this package, it contains: they
 * meet at a symbol of the global registry. The version is for what the copies tell each other.
 */
const meetingPoint = Symbol.for('fastify-drain.handover.v1')

type Host = NodeJS.Process & { [meetingPoint]?: Club }

interface Club {
  predecessor: Predecessor | null
  members: Set<Member>
  newcomers: Set<Newcomer>
  running: Promise<number> | null
  /** Hands over; whoever calls it meanwhile gets the same promise. */
  run (): Promise<number>
  /** What signals and callers do: the same, or it is not for them to do. */
  begin (): Promise<number>
  cancelTelling (): void
  ignoreSignals (): void
}

export interface HandoverProcess {
  /** The one that this process succeeds; `null`: none. */
  readonly predecessor: Predecessor | null
  /** An app takes part; the returned function takes it out again. */
  join (member: Member): () => void
  /** An app listens. */
  listening (newcomer: Newcomer, inherited: readonly Inherited[]): void
  /** Every caller gets the same promise as long as it goes on. */
  handOver (): Promise<number>
}

/** @throws FST_DRAIN_HANDOVER */
export function handoverProcess (host: Host, clock: Clock, startedAs: StartedAs, isWorker = cluster.isWorker): HandoverProcess {
  host[meetingPoint] ??= isWorker ? clubOfWorker(host, clock) : clubOfProcess(host, clock, startedAs)
  const club = host[meetingPoint]
  return {
    predecessor: club.predecessor,
    join (member) {
      club.members.add(member)
      listenToSignals(club)
      return () => {
        club.members.delete(member)
        listenToSignals(club)
      }
    },
    listening (newcomer, inherited) {
      if (club.predecessor === null) return
      club.newcomers.add(newcomer)
      club.cancelTelling()
      // The apps of a process begin to listen one after the other, and this version may not ask for all of them.
      const isComplete = inherited.every(({ isPassed, taken }) => taken || isPassed !== true)
      club.cancelTelling = clock.after(isComplete ? 0 : otherAppsPatience, () => tellReady(club.predecessor as Predecessor, club.newcomers, inherited))
    },
    handOver: () => club.begin()
  }
}

// From when plugins load, because the default action of such a signal ends the process.
function listenToSignals (club: Club): void {
  club.ignoreSignals()
  const wanted = new Set([...club.members].map(({ signal }) => signal).filter(signal => signal !== false))
  // Whoever called begin() has logged what went wrong.
  const begin = (): void => { club.begin().catch(() => {}) }
  for (const signal of wanted) process.on(signal, begin)
  club.ignoreSignals = () => { for (const signal of wanted) process.off(signal, begin) }
}

function clubOfProcess (host: Host, clock: Clock, startedAs: StartedAs): Club {
  const club = newClub(predecessorOf(host, false), clock, passed => new Child(startedAs, passed, clock))
  return Object.assign(club, { begin: () => club.run() })
}

// It cannot start a worker; who starts one knows what for.
function clubOfWorker (host: Host, clock: Clock): Club {
  const club = newClub(predecessorOf(host, true), clock, (passed, readyTimeout) => new OtherWorker(new Line(host), passed, readyTimeout))
  onReplacement(host, async () => {
    if (club.members.size === 0) throw new errors.Handover('no app of this worker takes part', 'register the plugin with { handover: true }, unless it is closing')
    return club.run()
  })
  return club
}

function newClub (predecessor: Predecessor | null, clock: Clock, start: HandoverEnv['start']): Club {
  predecessor?.greet()
  return {
    predecessor,
    members: new Set(),
    newcomers: new Set(),
    running: null,
    run () {
      if (this.running === null) {
        this.running = run(this, clock, start)
        // Whoever has a successor leaves, and needs no second one.
        this.running.catch(() => { this.running = null })
      }
      return this.running
    },
    async begin () {
      throw new errors.Handover('this is a worker of node:cluster, and its primary begins', 'call replaceWorker() of fastify-drain/cluster there')
    },
    cancelTelling () {},
    ignoreSignals () {}
  }
}

async function tellReady (predecessor: Predecessor, newcomers: Iterable<Newcomer>, inherited: readonly Inherited[]): Promise<void> {
  const areReady = await Promise.all([...newcomers].map(isReady))
  if (areReady.includes(false)) predecessor.refuse()
  else predecessor.ready(inherited)
}

async function isReady (newcomer: Newcomer): Promise<boolean> {
  try {
    await newcomer.ready()
    return true
  } catch (error) {
    newcomer.failed(error)
    return false
  }
}

async function run ({ predecessor, members }: Club, clock: Clock, start: HandoverEnv['start']): Promise<number> {
  try {
    // What comes from there is not for us alone.
    await predecessor?.done
    const serving = [...members].filter(({ closing }) => !closing.aborted)
    return await handOver(serving, { clock, start, endProcess: () => { endProcess('handover') } })
  } catch (error) {
    for (const { log } of [...members].slice(0, 1)) log.error({ err: error }, 'handover: it has failed')
    throw error
  }
}
