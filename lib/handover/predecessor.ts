import { closeSync } from 'node:fs'
import type { Clock } from '../clock.ts'
import type { Luggage } from '../connection.ts'
import { ownVariables } from '../environment.ts'
import { errors } from '../errors.ts'
import type { Inherited } from '../listen/inherited.ts'
import { isSocket } from '../os/descriptor.ts'
import type { Handle } from '../os/handle.ts'
import { Channel, type End } from './channel.ts'
import { Line } from './line.ts'
import { commonVersion, isSound, readInvitation, speaks, variable, type Invitation, type Order, type Reply } from './protocol.ts'

// How long a predecessor may take to let go, in ms.
const patience = 2000

/** What this process was told by the one whose successor it is; `null`: it is no successor. */
export interface Predecessor {
  readonly pid: number
  readonly listeners: Invitation['listeners']
  /** The first word to it. */
  greet (): void
  /**
   * This process listens and is ready. From now on connections come, each to the app that has taken the listener it
   * came to.
   */
  ready (inherited: readonly Inherited[]): void
  /** Resolves when it has nothing more to give. */
  readonly done: Promise<void>
  /** This process will not become ready. */
  refuse (): void
  /** This process is closing. Resolves when nothing comes any more. */
  leave (clock: Clock): Promise<void>
  /** It has not ended: what both of us listen on is also its own. */
  readonly isAlive: boolean
}

/**
 * @throws FST_DRAIN_HANDOVER when the two sides do not understand each other
 */
export function predecessorOf (host: NodeJS.Process, isWorker = false): Predecessor | null {
  const { [variable]: text } = ownVariables(host.env)
  // Children of this process are no successors.
  delete host.env[variable]
  if (text === undefined) return null
  const invitation = parse(text)
  const { predecessor, listeners } = invitation
  if (host.send === undefined) return null
  if (isWorker && listeners.every(({ at }) => at !== undefined)) return new Received(invitation, host, new Line(host))
  // Inherited from somebody who was a successor: descriptors do not come with it. Where they do, the predecessor has died already.
  if (predecessor !== host.ppid && !listeners.every(({ fd }) => isSocket(fd))) return null
  return new Received(invitation, host, host)
}

function parse (text: string): Invitation {
  try {
    return readInvitation(text)
  } catch (cause) {
    throw new errors.Handover(`the environment variable ${variable} cannot be read (${(cause as Error).message})`, 'leave it to the process that hands over')
  }
}

class Received implements Predecessor {
  readonly pid: number
  readonly listeners: Invitation['listeners']
  readonly done: Promise<void>
  readonly #host: NodeJS.Process
  readonly #channel: Channel<Order, Reply>
  readonly #theirs: number[]
  /** Connections that are still served by the predecessor. */
  readonly #held = new Map<number, { handle: Handle, listener: number }>()
  #inherited: readonly Inherited[] = []
  #isReady = false
  #isLeaving = false
  #finish!: () => void

  constructor ({ predecessor, listeners, speaks }: Invitation, host: NodeJS.Process, end: End) {
    const channel = new Channel<Order, Reply>(end)
    this.#host = host
    this.pid = predecessor
    this.listeners = listeners
    this.#theirs = speaks
    this.#channel = channel
    this.done = new Promise(resolve => { this.#finish = resolve })
    channel.listen((order, handle) => { if (isSound(order)) this.#obey(order, handle as Handle | undefined) }, () => this.#end())
  }

  /** @throws FST_DRAIN_HANDOVER */
  greet (): void {
    this.#channel.send({ type: 'hello', speaks: [...speaks] })
    if (commonVersion(this.#theirs) !== null) return
    throw new errors.Handover(
      `process ${this.pid} hands over by version ${this.#theirs.join(', ')} of the protocol, and this one takes over by ${speaks.join(', ')}`,
      'restart the service in the ordinary way once')
  }

  ready (inherited: readonly Inherited[]): void {
    this.#inherited = inherited
    this.#isReady = true
    const passed = inherited.filter(({ isPassed }) => isPassed)
    const listeners = passed.filter(({ taken }) => taken).map(({ fd }) => fd)
    for (const one of passed.filter(({ taken }) => !taken)) close(one)
    this.#channel.send({ type: 'ready', listeners })
  }

  refuse (): void {
    this.#end()
  }

  async leave (clock: Clock): Promise<void> {
    this.#isLeaving = true
    if (!this.#isReady) return this.#end()
    // What has been given to us is on its way, and nobody else serves it.
    this.#channel.send({ type: 'leaving' })
    const cancel = clock.after(patience, () => this.#end())
    await this.done
    cancel()
  }

  get isAlive (): boolean {
    return this.#host.ppid === this.pid
  }

  #obey (order: Order, handle: Handle | undefined): void {
    switch (order.type) {
      case 'offer': return this.#offered(order.id, order.listener, handle)
      case 'yours': return this.#take(order.connections)
      case 'forget': return this.#forget(order.ids)
      case 'close':
        if (!this.#isLeaving) this.#host.kill(this.#host.pid, 'SIGTERM')
    }
  }

  #offered (id: number, listener: number, handle: Handle | undefined): void {
    // Whoever has closed it while it was on its way says so next.
    if (handle === undefined) return
    this.#held.set(id, { handle, listener })
    this.#channel.send({ type: 'have', id })
  }

  #take (connections: Array<Luggage & { id: number }>): void {
    for (const { id, ...luggage } of connections) {
      const held = this.#held.get(id)
      this.#held.delete(id)
      if (held === undefined) continue
      const receive = this.#inherited.find(({ fd }) => fd === held.listener)?.receive
      if (receive === undefined) held.handle.close()
      else receive(held.handle, luggage)
    }
    this.#channel.send({ type: 'took', ids: connections.map(({ id }) => id) })
  }

  #forget (ids: number[]): void {
    for (const id of ids) {
      this.#held.get(id)?.handle.close()
      this.#held.delete(id)
    }
  }

  // The same when the predecessor has died: of a connection that it has not given away it may have read a request.
  #end (): void {
    this.#forget([...this.#held.keys()])
    this.#channel.close()
    this.#finish()
  }
}

// An address that this version does not ask for: whoever connects there would wait for ever.
function close (inherited: Inherited): void {
  inherited.taken = true
  if (inherited.ofPrimary !== true) closeSync(inherited.fd)
}
