import type { Server } from 'node:net'
import type { Clock } from '../clock.ts'
import { errors } from '../errors.ts'
import type { Log } from '../progress.ts'
import type { PassedListener } from '../listen/inherited.ts'
import { Mover, whenOverdue } from './mover.ts'
import { commonVersion, isSound, type Reply } from './protocol.ts'
import type { Successor } from './successor.ts'

/** One app, as the handover of its process sees it. */
export interface Member {
  readonly log: Log
  /** The signal that begins it; `false`: none. */
  readonly signal: NodeJS.Signals | false
  /** How long the successor may take to get ready, in ms. */
  readonly readyTimeout: number
  /** Aborts when the app closes. */
  readonly closing: AbortSignal
  /** Its listeners. */
  passed (): Map<Server, PassedListener>
  /** A successor is being started. */
  begun (): void
  /** Lets its connections go; the returned function keeps those that are still here. */
  depart (mover: Mover, listenerOf: (server: Server) => number | undefined): () => void
  /** The successor serves, and this process leaves. */
  succeeded (pid: number): void
  /** There is no successor. */
  failed (): void
}

export interface HandoverEnv {
  clock: Clock
  /** Starts a successor with these listeners, which may take `readyTimeout` ms to get ready. */
  start (passed: PassedListener[], readyTimeout: number): Successor
  /** Drains what is left, and ends the process. */
  endProcess (): void
}

// How long a successor that has to end may take, in ms: one that has no connections, and one that may have some.
const endPatience = 5000
const drainPatience = 60_000

// An exit code says more than a closed channel, and may come a moment later, in ms.
const exitPatience = 500

const goesOn = 'this process goes on serving; see the output of its successor, mend the cause and begin again'

/**
 * Starts a successor with the listeners of these apps, waits until it is ready, and gives it every connection that is
 * idle. Then this process leaves: what is busy follows as it gets idle, what cannot move is drained.
 *
 * Resolves with the pid of the successor when that begins. Whatever goes wrong before, this process goes on serving, and
 * nothing has been closed.
 * @throws FST_DRAIN_HANDOVER
 */
export async function handOver (members: Member[], { clock, start, endProcess }: HandoverEnv): Promise<number> {
  const passed = new Map(members.flatMap(member => [...member.passed()]))
  const [first] = members
  if (first === undefined) throw new errors.Handover('this process is closing', 'begin in one that serves')
  if (passed.size === 0) throw new errors.Handover('this process listens on nothing', 'begin when app.listen() has resolved')
  const { log } = first

  const began = clock.now()
  const failure = new Failure()
  const readyTimeout = Math.min(...members.map(({ readyTimeout }) => readyTimeout))
  const successor = started(() => start([...passed.values()], readyTimeout))
  const mover = new Mover({ channel: successor.channel, clock, onStuck: () => failure.happen('it takes no more connections') })
  const descriptors = readiness()
  const closing = (): void => failure.happen('this process was told to close meanwhile', 'its successor closes as well')
  const cancelDeadline = whenOverdue(clock, readyTimeout, () => {
    failure.happen(`it was not ready after ${Math.round(clock.now() - began)} ms`, 'let it listen sooner, or set "readyTimeout" to more')
  })
  let undo: Array<() => void> = []
  let saidHello = false
  let isEnding = false

  successor.watch(how => failure.happen(how))
  for (const member of members) {
    member.begun()
    member.closing.addEventListener('abort', closing)
  }
  try {
    if (successor.name !== null) log.info({ successor: successor.pid }, `handover: ${successor.name} is starting`)
    const listeners = listenersOf(await failure.or(descriptors))
    cancelDeadline()
    undo = members.map(member => member.depart(mover, server => listeners.get(server)))
    await failure.or(mover.settled())
    if (!successor.channel.isOpen) await failure.or(new Promise(() => {}))
  } catch (error) {
    cancelDeadline()
    // Not by a signal, of which it may have had one like this process: a second one would cut what it serves.
    const isAsked = saidHello && members.some(({ closing: signal }) => signal.aborted)
    if (isAsked) successor.channel.send({ type: 'close' })
    keepRest()
    const hasConnections = mover.hasGiven || saidHello
    successor.end({ patience: hasConnections ? drainPatience : endPatience, hasConnections, isEnding: isEnding || isAsked })
    for (const member of members) member.failed()
    throw error
  } finally {
    for (const { closing: signal } of members) signal.removeEventListener('abort', closing)
  }

  const pid = successor.pid as number
  log.info({ successor: pid }, `handover: process ${pid} has taken over after ${Math.round(clock.now() - began)} ms`)
  failure.then(error => {
    keepRest()
    // It is the service now, whatever has become of the channel.
    if (!successor.hasEnded) return log.error({ err: error }, 'handover: the successor serves, but what is left here cannot go to it any more; this process drains it')
    log.error({ err: error }, 'handover: the successor has ended before its predecessor; what is left of the service ends with this process')
    for (const member of members) member.failed()
  })
  for (const member of members) member.succeeded(pid)
  endProcess()
  return pid

  /** Resolves with the descriptors of the listeners on which the successor listens. */
  function readiness (): Promise<number[]> {
    return new Promise(resolve => {
      successor.channel.listen((reply: Reply) => {
        if (!isSound(reply)) return
        if (reply.type === 'hello' && commonVersion(reply.speaks) === null) {
          failure.happen(`it takes over by version ${reply.speaks.join(', ')} of the protocol, which this process does not speak`, 'restart the service in the ordinary way once')
        }
        if (reply.type === 'ready') resolve(reply.listeners)
        if (reply.type === 'hello') saidHello = true
        if (reply.type === 'leaving') {
          isEnding = true
          failure.happen('it is closing')
        }
        mover.hear(reply)
      }, () => {
        // What is given away now would be lost.
        mover.lost()
        clock.after(exitPatience, () => failure.happen('it has closed the channel to its predecessor'))
      })
    })
  }

  function listenersOf (descriptors: number[]): Map<Server, number> {
    const numbered = [...passed.keys()].map((server, i) => [server, successor.listener(i)] as const)
    return new Map(numbered.filter(([, descriptor]) => descriptors.includes(descriptor)))
  }

  function keepRest (): void {
    for (const each of undo) each()
    mover.lost()
    successor.channel.close()
  }
}

// What the kernel refuses at once, an environment that is too large for example, is an exception.
function started (start: () => Successor): Successor {
  try {
    return start()
  } catch (cause) {
    throw new errors.Handover(`the successor cannot be started: ${(cause as Error).message}`, goesOn)
  }
}

/** Something that has gone wrong with the successor: the first thing counts. */
class Failure {
  #fail!: (error: Error) => void
  readonly #happened = new Promise<never>((_resolve, reject) => { this.#fail = reject })

  constructor () {
    this.#happened.catch(() => {})
  }

  happen (what: string, advice = goesOn): void {
    this.#fail(new errors.Handover(what, advice))
  }

  /** What the promise resolves with, unless it happens before. */
  or<T> (promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#happened])
  }

  then (hear: (error: Error) => void): void {
    this.#happened.catch(hear)
  }
}
