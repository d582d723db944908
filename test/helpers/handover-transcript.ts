import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { isDeepStrictEqual } from 'node:util'
import { answers, request, type RawClient } from './raw-client.ts'

/** A message as it was recorded, or what a client of the service did at that moment. */
export type Line = { from: Side, message: any, descriptor?: boolean } | { client: string, does: string }

export type Side = 'predecessor' | 'successor'

/** What a real handover by this version of the protocol was. Its first line is the invitation. */
export function transcript (version: number): { invitation: any, lines: Line[] } {
  const text = readFileSync(new URL(`../fixtures/handover-v${version}.json`, import.meta.url), 'utf8')
  const [first, ...lines] = text.trim().split('\n').map(line => JSON.parse(line))
  return { invitation: first.message, lines }
}

export interface Player {
  say (message: any): void
  /** The next message of the other side, and whether a descriptor came with it. */
  heard (): Promise<{ message: any, descriptor: boolean }>
  client (name: string, does: string): Promise<void>
}

/** Plays one side of a transcript. Fails when the other side does not say what it said then. */
export async function play (side: Side, lines: Line[], { say, heard, client }: Player): Promise<void> {
  for (const line of lines) {
    if ('client' in line) await client(line.client, line.does)
    else if (line.from === side) say(line.message)
    else {
      const { message, descriptor } = await heard()
      const [actual, expected] = [withoutAges(message), withoutAges(line.message)]
      if (!isDeepStrictEqual(actual, expected)) throw new Error(`the other side said ${JSON.stringify(actual)} and should have said ${JSON.stringify(expected)}`)
      if (descriptor !== (line.descriptor === true)) throw new Error(`a descriptor came ${descriptor ? 'with' : 'not with'} ${JSON.stringify(message)}`)
    }
  }
}

// How long it has been open is the only thing that is not the same each time.
function withoutAges (message: any): unknown {
  if (message?.type !== 'yours') return message
  return { ...message, connections: message.connections.map(({ age, ...rest }: any) => ({ ...rest, hasAge: Number.isSafeInteger(age) && age >= 0 })) }
}

/** Messages that were not asked for yet, and whoever waits for the next one. */
export class Mailbox<T> {
  readonly #arrived: T[] = []
  readonly #waiting: Array<(one: T) => void> = []

  put (one: T): void {
    const first = this.#waiting.shift()
    if (first === undefined) this.#arrived.push(one)
    else first(one)
  }

  async next (): Promise<T> {
    return this.#arrived.shift() ?? await new Promise<T>(resolve => { this.#waiting.push(resolve) })
  }
}

/** The successor of a process under test: a process, too, that does what it is told. */
export interface Puppet {
  readonly pid: number
  readonly invitation: any
  say (message: object): void
  /** It reads from these connections, and says on them what it has read. */
  serve (ids: number[]): void
  heard: Player['heard']
  /** Resolves when it has ended. */
  readonly ended: Promise<unknown>
}

export interface Puppets {
  /** For the environment of their predecessor. */
  readonly control: string
  /** The next one that is started. */
  next (): Promise<Puppet>
}

/** Whoever is started as a successor with this control is a puppet. They end with the test. */
export async function puppets (t: { teardown (fn: () => unknown): void }): Promise<Puppets> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const started = new Mailbox<Puppet>()
  server.on('connection', async socket => {
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    const ended = once(socket, 'close')
    const reports = new Mailbox<any>()
    createInterface(socket).on('line', line => reports.put(JSON.parse(line)))
    const { pid, invitation } = await reports.next()
    const tell = (what: object): void => { socket.write(JSON.stringify(what) + '\n') }
    started.put({
      pid,
      invitation,
      ended,
      say: message => tell({ say: message }),
      serve: ids => tell({ serve: ids }),
      async heard () {
        const { order, hasDescriptor = false } = await reports.next()
        return { message: order, descriptor: hasDescriptor }
      }
    })
  })
  t.teardown(() => server.close())
  return { control: String((server.address() as AddressInfo).port), next: () => started.next() }
}

export interface Reply { headers: Record<string, string>, body: any }

/** Sends the service a request; resolves with its answer. */
export async function ask (client: RawClient, path = '/'): Promise<Reply> {
  const before = client.received.length
  client.write(request(path))
  await client.until(received => /\r\n\r\n\{.*\}$/s.test(received.slice(before)))
  const [answer] = answers(client.received.slice(before))
  return { headers: answer?.headers ?? {}, body: JSON.parse(answer?.body ?? '') }
}
