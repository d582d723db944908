/*
 * What the two sides of a handover say to each other: docs/decisions/0014. A change that an older side would not understand
 * is a new version.
 */

import type { Luggage } from '../connection.ts'
import type { PassedListener } from '../listen/inherited.ts'

/** The versions of the protocol that this package speaks. */
export const speaks: readonly number[] = [1]

/** In the environment of a successor: its invitation, as JSON. */
export const variable = 'FASTIFY_DRAIN_HANDOVER'

/** What a process is told that shall take over. Each version has these members. */
export interface Invitation {
  speaks: number[]
  /** The process that goes. */
  predecessor: number
  listeners: PassedListener[]
}

/** From the successor. */
export type Reply =
  /** The first word of it. */
  { type: 'hello', speaks: number[] } |
  /** It listens, on these of the passed listeners, and its readiness is true. */
  { type: 'ready', listeners: number[] } |
  /** The descriptor of an offered connection has come. */
  { type: 'have', id: number } |
  /** It serves these connections. */
  { type: 'took', ids: number[] } |
  /** It is closing: it serves what has been given to it, and nothing more. */
  { type: 'leaving' }

/** From the predecessor. It closes the channel when there is nothing more to come. */
export type Order =
  /** With the descriptor of a connection, which stays where it is for now. */
  { type: 'offer', id: number, listener: number } |
  /** Whoever said this has closed its copies of these connections: the successor shall read from them. */
  { type: 'yours', connections: Array<Luggage & { id: number }> } |
  /** These connections have closed. */
  { type: 'forget', ids: number[] } |
  /** The service stops: the successor shall close, unless it does already. */
  { type: 'close' }

/** The version that both sides speak; `null`: none. */
export function commonVersion (theirs: readonly number[]): number | null {
  const common = speaks.filter(version => theirs.includes(version))
  return common.length === 0 ? null : Math.max(...common)
}

/** @throws SyntaxError, TypeError where it is no invitation */
export function readInvitation (text: string): Invitation {
  const { speaks, predecessor, listeners } = JSON.parse(text) as Partial<Invitation>
  if (!isListOf(speaks, isCount) || !isCount(predecessor) || !isListOf(listeners, isListener)) throw new TypeError('members are missing')
  return { speaks, predecessor, listeners }
}

function isListener (value: unknown): value is PassedListener {
  const { fd, name, anyPort, at } = (value ?? {}) as Partial<PassedListener>
  return isCount(fd) && typeof name === 'string' && typeof anyPort === 'boolean' && (at === undefined || isAddress(at))
}

function isAddress (value: unknown): boolean {
  const { address, port, path } = (value ?? {}) as Content
  return typeof path === 'string' || (typeof address === 'string' && isCount(port))
}

function isListOf<T> (value: unknown, isOne: (one: unknown) => one is T): value is T[] {
  return Array.isArray(value) && value.every(isOne)
}

function isCount (value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Messages on the channel that are ours: applications may have some of their own. */
export const envelope = 'fastify-drain'

type Content = Record<string, unknown>

const shapes = new Map<unknown, (content: Content) => boolean>([
  ['hello', ({ speaks }) => isListOf(speaks, isCount)],
  ['ready', ({ listeners }) => isListOf(listeners, isCount)],
  ['have', ({ id }) => isCount(id)],
  ['took', ({ ids }) => isListOf(ids, isCount)],
  ['leaving', () => true],
  ['offer', ({ id, listener }) => isCount(id) && isCount(listener)],
  ['yours', ({ connections }) => isListOf(connections, isConnection)],
  ['forget', ({ ids }) => isListOf(ids, isCount)],
  ['close', () => true]
])

function isConnection (value: unknown): value is Luggage & { id: number } {
  const { id, age, requests, isFresh } = (value ?? {}) as Content
  return isCount(id) && isCount(age) && isCount(requests) && typeof isFresh === 'boolean'
}

/** What is in the envelope; `null`: it is not one of ours. */
export function open<T> (message: unknown): T | null {
  if (typeof message !== 'object' || message === null || !Object.hasOwn(message, envelope)) return null
  const content = (message as Content)[envelope]
  return typeof content === 'object' && content !== null && Object.hasOwn(content, 'type') ? content as T : null
}

/** Whether it is a message of this version of the protocol, with all its members. */
export function isSound (message: object): message is Reply | Order {
  const content = message as Content
  return shapes.get(content['type'])?.(content) === true
}
