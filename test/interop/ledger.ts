import { readFileSync } from 'node:fs'

/** `received`: the head has come. `executed`: the handler runs. `answered`: the whole answer is written. */
export type Step = 'connected' | 'received' | 'executed' | 'answered'

export interface Entry { received: number, executed: number, answered: number }

/** What all versions of the service have done, by request id. */
export class Ledger {
  readonly #entries = new Map<string, Entry>()
  /** How many connections each version had, in the order of the versions. */
  readonly connections: number[] = []

  constructor (files: string[]) {
    for (const file of files) {
      let connections = 0
      for (const line of readFileSync(file, 'utf8').split('\n').slice(0, -1)) {
        const [step, id] = line.split(' ') as [Step, string]
        if (step === 'connected') connections++
        else this.#entry(id)[step]++
      }
      this.connections.push(connections)
    }
  }

  #entry (id: string): Entry {
    const entry = this.#entries.get(id) ?? { received: 0, executed: 0, answered: 0 }
    this.#entries.set(id, entry)
    return entry
  }

  /** How often this request was received, executed and answered, by all versions together. */
  of (id: string): Entry {
    return this.#entries.get(id) ?? { received: 0, executed: 0, answered: 0 }
  }

  /** The requests whose ids begin so. */
  ids (prefix = ''): string[] {
    return [...this.#entries.keys()].filter(id => id.startsWith(prefix))
  }

  /** All steps of the requests whose ids begin so, added up. */
  sum (prefix = ''): Entry {
    const sum = { received: 0, executed: 0, answered: 0 }
    for (const id of this.ids(prefix)) {
      const entry = this.of(id)
      for (const step of Object.keys(sum) as Array<keyof Entry>) sum[step] += entry[step]
    }
    return sum
  }
}
