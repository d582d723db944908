import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { random, type Random } from './fuzz-random.ts'

/** A request that got no whole answer. */
export interface Broken {
  id: string
  error: string
  at: number
  /** It was the first one of its connection, which may never have been accepted. */
  isFirst: boolean
}

export interface LoadOptions {
  port: number
  clients: number
  seed?: number
  /** Between an answer and the next request at most, in ms. */
  think?: number
  /** How long the service works on a request at most, in ms. */
  work?: number
}

export interface Load {
  readonly answered: number
  readonly broken: readonly Broken[]
  /** How often a client had to connect again. */
  readonly reconnects: number
  /** When a connection was refused. */
  readonly refused: readonly number[]
  /** Sends no more requests; resolves when every answer has come or every connection has ended, which is done after `patience` ms. */
  stop (patience?: number): Promise<void>
}

/** Clients that keep their connections alive, GET and POST, and one that connects all the time. */
export function load ({ port, clients, seed = 1, think = 40, work = 5 }: LoadOptions): Load {
  const broken: Broken[] = []
  const refused: number[] = []
  const open = new Set<Socket>()
  let answered = 0
  let reconnects = 0
  const stopping = new AbortController()
  const all = Array.from({ length: clients + 1 }, (_, i) => i === clients ? prober() : client(`${seed}.${i}`, random(seed * 1000 + i)))

  return {
    get answered () { return answered },
    broken,
    get reconnects () { return reconnects },
    refused,
    async stop (patience) {
      stopping.abort()
      const end = (): void => { for (const socket of open) socket.destroy() }
      const timer = patience === undefined ? undefined : setTimeout(end, patience)
      await Promise.all(all)
      clearTimeout(timer)
      end()
    }
  }

  async function client (name: string, numbers: Random): Promise<void> {
    let connection: Connection | null = null
    for (let n = 0; !stopping.signal.aborted; n++) {
      if (connection?.ended !== false) {
        connection?.socket.destroy()
        connection = await reach()
        if (connection === null) continue
        if (n > 0) reconnects++
      }
      await exchange(connection, `${name}.${n}`, numbers, 'keep-alive')
      await sleep(numbers.int(0, think))
    }
    connection?.socket.end()
  }

  async function prober (): Promise<void> {
    const numbers = random(seed * 1000 + clients)
    for (let n = 0; !stopping.signal.aborted; n++) {
      const connection = await reach()
      if (connection !== null) await exchange(connection, `${seed}.new.${n}`, numbers, 'close')
      connection?.socket.destroy()
      await sleep(10)
    }
  }

  async function reach (): Promise<Connection | null> {
    const connection = await connected(port)
    if (typeof connection !== 'string') {
      open.add(connection.socket)
      connection.socket.once('close', () => open.delete(connection.socket))
      return connection
    }
    // Whatever else it is, it is no answer of a listener.
    refused.push(Date.now())
    await sleep(20)
    return null
  }

  async function exchange (connection: Connection, id: string, { int }: Random, wish: 'keep-alive' | 'close'): Promise<void> {
    const path = `/items/${id}/${int(0, work)}`
    const body = int(0, 1) === 0 ? null : 'x'.repeat(int(1, 3000))
    const head = `${body === null ? 'GET' : 'POST'} ${path} HTTP/1.1\r\nHost: test\r\nConnection: ${wish}\r\n`
    connection.received = ''
    connection.asked++
    connection.socket.write(body === null ? `${head}\r\n` : `${head}Content-Length: ${body.length}\r\n\r\n${body}`)
    const error = await connection.answer(body ?? id)
    if (error === null) answered++
    else broken.push({ id, error, at: Date.now(), isFirst: connection.asked === 1 })
    if (/\r\nconnection: close\r\n/i.test(connection.received)) connection.ended = true
  }
}

class Connection {
  readonly socket: Socket
  received = ''
  asked = 0
  ended = false
  #error = 'FIN'
  #check = (): void => {}

  constructor (socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => { this.received += text; this.#check() })
    socket.on('error', (error: NodeJS.ErrnoException) => { this.#error = error.code ?? error.message })
    for (const event of ['end', 'close']) socket.on(event, () => { this.ended = true; this.#check() })
  }

  /** Resolves with `null` when the answer with this body has come, else with what has happened. */
  answer (body: string): Promise<string | null> {
    return new Promise(resolve => {
      this.#check = () => {
        const end = this.received.indexOf('\r\n\r\n')
        if (end > 0 && this.received.length - end - 4 >= body.length) {
          const isRight = this.received.startsWith('HTTP/1.1 200 ') && this.received.slice(end + 4) === body
          resolve(isRight ? null : `the wrong answer: ${this.received.slice(0, 300)}`)
        } else if (this.ended) resolve(this.received === '' ? this.#error : `${this.#error} in the answer`)
      }
      this.#check()
    })
  }
}

function connected (port: number): Promise<Connection | string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    const failed = (error: NodeJS.ErrnoException): void => resolve(error.code ?? error.message)
    socket.once('error', failed)
    socket.once('connect', () => {
      socket.off('error', failed)
      resolve(new Connection(socket))
    })
  })
}
