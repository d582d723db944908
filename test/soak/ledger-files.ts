import { closeSync, openSync, readdirSync, readSync, rmSync } from 'node:fs'
import { join } from 'node:path'

interface Open { fd: number, rest: string }

/**
 * Reads what the processes of a service write down, each into a file `ledger-<pid>` of its own, which goes when its process has
 * ended.
 */
export class LedgerFiles {
  readonly #folder: string
  readonly #read: (pid: number, line: string) => void
  readonly #files = new Map<number, Open>()
  readonly #chunk = Buffer.alloc(2 ** 16)

  constructor (folder: string, read: (pid: number, line: string) => void) {
    this.#folder = folder
    this.#read = read
  }

  /** Everything that has been written by now. */
  read (): void {
    for (const name of readdirSync(this.#folder)) {
      const pid = Number(/^ledger-(\d+)$/.exec(name)?.[1])
      if (pid > 0 && !this.#files.has(pid)) this.#files.set(pid, { fd: openSync(join(this.#folder, name), 'r'), rest: '' })
    }
    // In the order in which the processes were started.
    for (const [pid, file] of this.#files) this.#readFile(pid, file)
  }

  #readFile (pid: number, file: Open): void {
    for (;;) {
      const length = readSync(file.fd, this.#chunk)
      if (length === 0) return
      const lines = (file.rest + this.#chunk.toString('latin1', 0, length)).split('\n')
      file.rest = lines.pop() ?? ''
      for (const line of lines) this.#read(pid, line)
    }
  }

  /** This process has ended, and writes no more. */
  ended (pid: number): void {
    this.read()
    this.#close(pid)
  }

  close (): void {
    for (const pid of [...this.#files.keys()]) this.#close(pid)
  }

  #close (pid: number): void {
    const file = this.#files.get(pid)
    if (file === undefined) return
    closeSync(file.fd)
    this.#files.delete(pid)
    rmSync(join(this.#folder, `ledger-${pid}`))
  }
}
