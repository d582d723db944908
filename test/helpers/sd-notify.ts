import { fixture, startProgram } from './systemd.ts'

export interface Notification {
  /** On the clock of `performance.now()` of no process, in ms: differences count. */
  at: number
  /** Of the sender, from the kernel. */
  pid: number
  text: string
}

export interface Receiver {
  /** What has arrived so far, without the marks of `settled()`. */
  readonly received: readonly Notification[]
  readonly texts: readonly string[]
  /** Resolves when something that begins so has arrived. */
  until (text: string): Promise<void>
  /** Resolves when everything that was sent before this call has arrived. */
  settled (): Promise<void>
}

/** A datagram socket at this path (`@name`: an abstract one) for sd_notify. Gone on teardown. */
export async function startReceiver (t: { teardown (fn: () => unknown): void }, path: string): Promise<Receiver> {
  const program = startProgram(t, ['python3', fixture('systemd-notified.py'), path])
  await program.tells({ type: 'bound' })
  const received = (): Notification[] => program.told.filter(({ type, pid, text }) => type === 'notified' && !isMark(pid, text))
  const isMark = (pid: number, text: string): boolean => pid === program.pid && text.startsWith('mark ')
  let marks = 0
  return {
    get received () { return received() },
    get texts () { return received().map(({ text }) => text) },
    until: text => program.tellsWhere(({ type, text: found }) => type === 'notified' && found.startsWith(text), text),
    async settled () {
      const mark = `mark ${++marks}`
      program.say(mark)
      await program.tells({ type: 'notified', text: mark })
    }
  }
}
