import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ConnectionCloseMessage, ConnectionOpenMessage, ConnectionState, ConnectionStateMessage } from '../../index.ts'
import type { FastifyDrain } from '../../lib/decorator.ts'
import { channelNames } from '../../lib/diagnostics.ts'

export interface Life {
  opened: number
  state: ConnectionState | null
  outcome: string | null
}

/** What the diagnostics channels tell of the connections of one app, by the port of the client. */
export interface Lives {
  readonly byPort: ReadonlyMap<number, Life>
  /** What must not be told. */
  readonly wrong: string[]
}

type Message = ConnectionOpenMessage | ConnectionStateMessage | ConnectionCloseMessage

export function watchLives (t: { teardown (fn: () => unknown): void }, drain: FastifyDrain): Lives {
  const byPort = new Map<number, Life>()
  const wrong: string[] = []
  const listen = <T extends Message>(name: string, fn: (life: Life, message: T) => void): void => {
    const subscriber = (message: unknown): void => {
      const { drain: of, remotePort } = message as T
      // A peer that has reset its connection before it was accepted has no address any more.
      if (of !== drain || remotePort === null) return
      const life = byPort.get(remotePort) ?? { opened: 0, state: null, outcome: null }
      byPort.set(remotePort, life)
      fn(life, message as T)
    }
    subscribe(name, subscriber)
    t.teardown(() => unsubscribe(name, subscriber))
  }
  listen<ConnectionOpenMessage>(channelNames.open, life => {
    life.opened++
    life.state = 'new'
    // A port is used again by whoever comes when it is free.
    if (life.opened > 1 && life.outcome === null) wrong.push('a connection was opened twice')
    life.outcome = null
  })
  listen<ConnectionStateMessage>(channelNames.state, (life, { state, previous }) => {
    if (life.outcome !== null) wrong.push(`a connection is said to be ${state} after its end (${life.outcome})`)
    if (previous !== life.state) wrong.push(`a connection is said to have been ${previous} before, and was ${life.state}`)
    life.state = state
  })
  listen<ConnectionCloseMessage>(channelNames.close, (life, { outcome }) => {
    if (life.outcome !== null) wrong.push(`the end of a connection is told twice: ${life.outcome}, ${outcome}`)
    if (outcome === 'half-closed' && life.state !== 'lingering') wrong.push(`a connection was half-closed and never said to linger, but ${life.state}`)
    life.outcome = outcome
  })
  return { byPort, wrong }
}
