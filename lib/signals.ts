import closeWithGrace from 'close-with-grace'
import type { DrainSignal } from './options.ts'

/** An app that has to be stopped before the process may end. */
export interface Member {
  signals: readonly DrainSignal[]
  /** Drains and closes the app; true when nothing was cut. Every call is about the same drain. */
  stop (reason: string): Promise<boolean>
  /** Cuts what is left, now: the process ends right after this call. */
  hardStop (): void
  /** An error that nobody caught: it is why the app will be stopped. */
  uncaught (error: unknown): void
}

/*
 * One process has one set of signal handlers, whatever number of apps, and of copies of this package,
 * it contains: they meet at a symbol of the global registry. The version is for what the copies tell each other.
 */
const meetingPoint = Symbol.for('fastify-drain.signals.v1')

interface Installed {
  close (): void
  uninstall (): void
  /** What is called for each signal. */
  listeners: Map<DrainSignal, unknown>
}

interface Club {
  members: Set<Member>
  installed: Installed | null
  stopping: boolean
}

type Host = typeof process & { [meetingPoint]?: Club }

const everySignal: DrainSignal[] = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2', 'SIGTERM'
]

/**
 * Stops this app, beside all others in the process, when a signal or an uncaught error comes, and then ends the
 * process: 0 when no connection was cut, 1 otherwise, after an error, or on a second signal.
 * An app without signals leaves both alone. The returned function takes the app out again.
 */
export function stopOnSignals (member: Member): () => void {
  const club = clubOf(process as Host)
  club.members.add(member)
  install(club)
  return () => {
    club.members.delete(member)
    install(club)
  }
}

function clubOf (host: Host): Club {
  host[meetingPoint] ??= { members: new Set(), installed: null, stopping: false }
  return host[meetingPoint]
}

/** Stops all apps, and then ends the process in the same way. Until that is over, signals mean what they always do. */
export async function endProcess (reason: string): Promise<void> {
  const club = clubOf(process as Host)
  club.installed ??= installGrace(club, new Set())
  // The handlers stay when the apps are closed.
  club.stopping = true
  await Promise.all([...club.members].map(member => member.stop(reason)))
  club.installed.close()
}

function install (club: Club): void {
  // close-with-grace has its handlers for a second signal in place now; they stay until the process ends.
  if (club.stopping) return
  club.installed?.uninstall()
  club.installed = null
  const wanted = new Set([...club.members].flatMap(({ signals }) => signals))
  if (wanted.size > 0) club.installed = installGrace(club, wanted)
}

/** Somebody else in this process who acts on a signal, at once. */
export interface OtherListeners {
  signal: DrainSignal
  /** What the functions are called, as far as they have names. */
  names: string[]
}

/** Who listens to these signals beside us. */
export function otherListeners (signals: readonly DrainSignal[], host: NodeJS.Process = process): OtherListeners[] {
  const { installed } = clubOf(host as Host)
  return signals.flatMap(signal => {
    const others = host.listeners(signal).filter(listener => listener !== installed?.listeners.get(signal))
    // Those of signal-exit do nothing while somebody else listens; its copies tell each other how many they are.
    return others.length > signalExits(host) ? [{ signal, names: others.map(({ name }) => name).filter(name => name !== '') }] : []
  })
}

function signalExits (host: object): number {
  const emitters = [Reflect.get(globalThis, Symbol.for('signal-exit emitter')), Reflect.get(host, '__signal_exit_emitter__')]
  return emitters.reduce((sum, emitter) => sum + (typeof emitter?.count === 'number' ? emitter.count : 0), 0)
}

function installGrace (club: Club, wanted: Set<DrainSignal>): Installed {
  const grace = closeWithGrace({
    // Each app keeps its own deadline, and its own log.
    delay: false,
    logger: false,
    skip: [
      'beforeExit',
      ...everySignal.filter(signal => !wanted.has(signal)),
      ...(wanted.size === 0 ? ['uncaughtException', 'unhandledRejection'] as const : [])
    ],
    onSecondSignal: () => hardStop(club),
    onSecondError: error => {
      for (const member of club.members) member.uncaught(error)
      hardStop(club)
    }
  }, async ({ signal, err }) => {
    club.stopping = true
    await stopAll(club, signal ?? 'uncaught error', err)
  })
  // It has just added them.
  return { ...grace, listeners: new Map([...wanted].map(signal => [signal, process.listeners(signal).at(-1)])) }
}

// close-with-grace ends the process with 0 when this resolves, with 1 when it rejects or when there was an error.
async function stopAll ({ members }: Club, reason: string, error?: unknown): Promise<void> {
  if (error !== undefined) {
    for (const member of members) member.uncaught(error)
  }
  const clean = await Promise.all([...members].map(member => member.stop(reason)))
  if (clean.includes(false)) throw new Error('a connection was cut')
}

function hardStop ({ members }: Club): void {
  for (const member of members) member.hardStop()
}
