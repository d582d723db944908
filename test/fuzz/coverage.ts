import type { ConnectionState, DrainPhase } from '../../index.ts'
import { clientOperations } from './operations.ts'
import type { Sequence } from './sequence.ts'

const phases = ['serving', 'lame-duck', 'draining', 'aborting', 'closed'] as const
const states = ['new', 'active', 'idle', 'upgraded', 'lingering', 'closed'] as const
const others = ['connect', 'drain', 'rude']

type Column = DrainPhase | ConnectionState | Sequence['server']

/** How often each operation was run: on each server, in each phase, and on a connection in each state. */
export class Coverage {
  readonly #counts = new Map<string, number>()

  /** `state`: of its connection; `null`: it is about none that was there before. */
  count ({ server }: Sequence, name: string, phase: DrainPhase, state: ConnectionState | null): void {
    this.#add(`${name}|${server}`)
    this.#add(`${name}|${phase}`)
    if (state !== null) this.#add(`${name}|${state}`)
  }

  #add (key: string): void {
    this.#counts.set(key, this.#of(key) + 1)
  }

  #of (key: string): number {
    return this.#counts.get(key) ?? 0
  }

  /** A table, and the pairs that make sense and were never reached. */
  text (): string {
    const columns: Column[] = ['http', 'https', 'h2c', 'h2', ...phases, ...states]
    const rows = [...Object.keys(clientOperations), ...others]
    const width = Math.max(...rows.map(({ length }) => length)) + 1
    const head = ''.padEnd(width) + columns.map(column => column.padStart(10)).join('')
    const table = rows.map(row => row.padEnd(width) + columns.map(column => this.#cell(row, column).padStart(10)).join(''))
    const never = rows.flatMap(row => columns.filter(column => this.#cell(row, column) === '0').map(column => `${row} × ${column}`))
    return [head, ...table, `Never reached: ${never.length === 0 ? 'none' : never.join(', ')}`].join('\n')
  }

  #cell (row: string, column: Column): string {
    const count = this.#of(`${row}|${column}`)
    return count === 0 && !isPossible(row, column) ? '-' : String(count)
  }
}

// What each needs of its connection, as far as that is not the same for all.
const only: Record<string, readonly Column[]> = {
  'the rest of the head': ['active'],
  'a piece of the body': ['active'],
  'the rest of the body': ['active'],
  answer: ['active'],
  'reset a stream': ['active'],
  'go on with the handshake': ['new'],
  message: ['upgraded'],
  'close frame': ['upgraded'],
  upgrade: ['new', 'idle'],
  trifle: ['new', 'idle', 'active']
}

const inAllStates = ['RST', 'stop reading', 'read on']

function isPossible (row: string, column: Column): boolean {
  if (others.includes(row)) return !(states as readonly string[]).includes(column) && !(row === 'drain' && column !== 'serving' && (phases as readonly string[]).includes(column))
  const { on } = clientOperations[row] as { on?: string }
  if (column === 'h2c') return on !== 'http1' && on !== 'tls'
  if (column === 'http') return on !== 'http2' && on !== 'tls'
  if (column === 'https') return on !== 'http2'
  // Nobody can connect any more.
  if (column === 'aborting' || column === 'closed') return false
  if (!(states as readonly string[]).includes(column)) return true
  if (only[row] !== undefined) return only[row].includes(column)
  if (column === 'upgraded') return ['FIN', 'RST', 'garbage', 'stop reading', 'read on'].includes(row)
  if (column === 'lingering') return inAllStates.includes(row)
  return column !== 'new' || on !== 'http2'
}
