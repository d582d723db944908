import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from './fuzz-random.ts'
import type { Wire } from './fuzz-servers.ts'

/** What a client can do next; each sends its bytes in pieces, with pauses between them. */
export const operations = [
  'now', 'now', 'slow', 'stream', 'throw', 'body', 'body', 'chunked', 'split', 'pipelined', 'early', 'expect', 'empty line', 'reset', 'half-close'
] as const

type Operation = typeof operations[number]

export interface FuzzClient {
  /** Ids of the requests of which at least the first piece was sent. */
  ids: string[]
  log: string[]
  received: string
  error: string | null
  /** It broke the connection, or the rules, itself: it can expect nothing. */
  rude: boolean
  /** The server has ended the connection. */
  over: boolean
  /** There is nothing more to come. */
  readonly ended: boolean
  /** Resolves when it has done all it wanted, or when the connection has ended. */
  done: Promise<void>
  destroy (): void
}

/** A client of HTTP/1.1 that makes up its mind at random; what it does depends on the random numbers alone, when on the clock too. */
export function http1Client ({ socket, raw }: Wire, name: string, { int, pick }: Random): FuzzClient {
  const closeAfterFin = pick([0, 0, 10, 300])
  const client: FuzzClient = {
    ids: [],
    log: [],
    received: '',
    error: null,
    rude: false,
    over: false,
    get ended () { return socket.readableEnded || socket.destroyed || client.error !== null },
    done: Promise.resolve(),
    destroy () { socket.destroy(); raw.destroy() }
  }
  socket.setEncoding('latin1')
  socket.on('data', (text: string) => { client.received += text })
  socket.on('end', () => { client.over = true; setTimeout(() => socket.end(), closeAfterFin) })
  socket.on('error', (error: NodeJS.ErrnoException) => { client.over = true; client.error = error.code ?? error.message })
  client.done = act()
  return client

  async function act (): Promise<void> {
    const steps = int(0, 5)
    for (let i = 0; i < steps && !client.over; i++) {
      await sleep(int(0, 30))
      if (client.over) return
      const operation = pick(operations)
      const waits = pick([true, true, true, false])
      client.log.push(operation)
      if (operation === 'reset') {
        client.rude = true
        raw.resetAndDestroy()
        return
      }
      if (operation === 'half-close') {
        socket.end()
        return
      }
      for (const piece of pieces(operation, `${name}.${i}`)) {
        if (client.over) return
        socket.write(piece)
        await sleep(int(0, 15))
      }
      const last = client.ids.at(-1)
      if (waits) await untilAnswered(last)
    }
  }

  async function untilAnswered (id: string | undefined): Promise<void> {
    for (let turn = 0; turn < 60 && !client.over && !answered(client, id); turn++) await sleep(5)
  }

  function pieces (operation: Operation, id: string): string[] {
    if (operation === 'empty line') return ['\r\n']
    client.ids.push(id)
    const post = (path: string, framing: string, ...body: string[]): string[] =>
      [`POST ${path} HTTP/1.1\r\nHost: a\r\nid: ${id}\r\nContent-Type: text/plain\r\n${framing}\r\n\r\n`, ...body]
    switch (operation) {
      case 'body': return post('/echo', 'Content-Length: 2000', 'x'.repeat(1000), 'x'.repeat(1000))
      case 'chunked': return post('/echo', 'Transfer-Encoding: chunked', '5\r\nab', 'cde\r\n', '0\r\n\r\n')
      case 'expect': return post('/echo', 'Content-Length: 3\r\nExpect: 100-continue', 'abc')
      case 'early': return post('/early', 'Content-Length: 60000', 'y'.repeat(30_000), 'y'.repeat(30_000))
      case 'split': {
        const whole = get('/now', id)
        const at = int(1, whole.length - 1)
        return [whole.slice(0, at), whole.slice(at)]
      }
      case 'pipelined': {
        client.ids.push(`${id}b`)
        return [get('/slow', id, int(0, 60)) + get(pick(['/now', '/slow']), `${id}b`, int(0, 60))]
      }
      default: return [get(`/${operation}`, id, int(0, 120))]
    }
  }
}

function get (path: string, id: string, ms = 0): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\nid: ${id}\r\nms: ${ms}\r\n\r\n`
}

/** Whether the whole answer to this request has arrived: each ends with the id of its request, in brackets. */
export function answered ({ received }: FuzzClient, id: string | undefined): boolean {
  return id !== undefined && received.includes(`[${id}]`)
}
