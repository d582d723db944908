import type { ConnectionOutcome } from '../connection.ts'
import type { RecordedConnection } from '../timeline.ts'

/** A state in which a connection is open, in the order in which charts stack them. */
export const states = ['active', 'idle', 'new', 'upgraded', 'lingering'] as const

export type OpenState = typeof states[number]

/** From the polite ends to those that are not. */
export const outcomes: readonly ConnectionOutcome[] = ['peer-closed', 'half-closed', 'handed-over', 'destroyed', 'timed-out', 'peer-lost', 'cut']

const bad: ReadonlyArray<ConnectionOutcome | null> = ['cut', 'timed-out', 'peer-lost']

/** Whether the report names it. */
export function isStraggler ({ outcome }: RecordedConnection): boolean {
  return bad.includes(outcome)
}

export interface Span { state: OpenState, from: number, to: number }

/** The states of a connection, one behind the other, until it, or the drain, ended. */
export function spansOf ({ states, endedAt }: RecordedConnection, duration: number): Span[] {
  const end = endedAt ?? duration
  return states.map(([from, state], i) => ({ state: state as OpenState, from, to: states[i + 1]?.[0] ?? end }))
}

/** How many connections were in each state at `count + 1` moments, the first at the beginning and the last at the end. */
export function census (connections: readonly RecordedConnection[], duration: number, count: number): Record<OpenState, number[]> {
  const changes = Object.fromEntries(states.map(state => [state, new Array<number>(count + 2).fill(0)])) as Record<OpenState, number[]>
  const step = Math.max(1, duration) / count
  const after = (at: number): number => Math.min(count + 1, Math.ceil(at / step))
  for (const connection of connections) {
    for (const { state, from, to } of spansOf(connection, duration)) {
      changes[state][after(from)]! += 1
      changes[state][after(to)]! -= 1
    }
  }
  return Object.fromEntries(states.map(state => {
    let open = 0
    return [state, changes[state].slice(0, -1).map(change => (open += change))]
  })) as Record<OpenState, number[]>
}
