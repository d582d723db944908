import { connect, type NetConnectOpts, type Socket } from 'node:net'

export interface RawClient {
  readonly socket: Socket
  /** Everything received so far, as latin1. */
  readonly received: string
  /** The server's FIN has arrived. */
  readonly sawFin: boolean
  /** Code of the error that ended the connection, such as `ECONNRESET`. */
  readonly error: string | null
  write (text: string | Buffer): void
  /** Our FIN; reads stay open. */
  halfClose (): void
  /** RST. */
  reset (): void
  /** Resolves when what was received fits; rejects when the connection has ended before. */
  until (fits: RegExp | ((received: string) => boolean)): Promise<string>
  /** Resolves when the server's FIN has arrived; rejects when the connection breaks before. */
  fin (): Promise<void>
  /** Resolves when the connection is gone for good, with the error code, if any. */
  closed (): Promise<string | null>
}

/**
 * A client that does exactly what it is told: it answers no FIN by itself, and sends the bytes that it is given.
 * Resolves when connected; destroyed on teardown.
 */
export async function rawClient (t: { teardown (fn: () => unknown): void }, to: NetConnectOpts): Promise<RawClient> {
  const socket = connect({ ...to, allowHalfOpen: true } as NetConnectOpts)
  let received = ''
  let sawFin = false
  let error: string | null = null
  let gone = false
  const changed = new Set<() => void>()
  const notify = (): void => { for (const check of [...changed]) check() }

  socket.setNoDelay(true)
  socket.setEncoding('latin1')
  socket.on('data', (text: string) => { received += text; notify() })
  socket.on('end', () => { sawFin = true; notify() })
  socket.on('error', (err: NodeJS.ErrnoException) => { error = err.code ?? err.message; notify() })
  socket.on('close', () => { gone = true; notify() })
  t.teardown(() => { socket.destroy() })

  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })

  return {
    socket,
    get received () { return received },
    get sawFin () { return sawFin },
    get error () { return error },
    write (text) { socket.write(text) },
    halfClose () { socket.end() },
    reset () { socket.resetAndDestroy() },
    until (fits) {
      const test = typeof fits === 'function' ? fits : (text: string) => fits.test(text)
      return wait(() => test(received), () => gone || sawFin || error !== null, 'what was awaited').then(() => received)
    },
    fin: () => wait(() => sawFin, () => gone || error !== null, 'the FIN of the server'),
    async closed () {
      await wait(() => gone, () => false, '')
      return error
    }
  }

  function wait (done: () => boolean, over: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (!done() && !over()) return
        changed.delete(check)
        if (done()) resolve()
        else reject(new Error(`the connection ended (${error ?? (sawFin ? 'FIN' : 'closed')}) before ${what}; received ${JSON.stringify(received.slice(0, 500))}`))
      }
      changed.add(check)
      check()
    })
  }
}

/** The bytes of a request with a Host header. */
export function request (path: string, { method = 'GET', headers = {}, body = '' }: { method?: string, headers?: Record<string, string>, body?: string } = {}): string {
  const all = { host: 'test', ...(body === '' ? {} : { 'content-length': String(body.length) }), ...headers }
  return `${method} ${path} HTTP/1.1\r\n` + Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('') + `\r\n${body}`
}

export interface Answer {
  status: number
  headers: Record<string, string>
  body: string
}

/** Splits what a raw client received into answers (content-length, chunked, or ended by FIN; `heads`: without bodies). */
export function answers (received: string, { heads = false }: { heads?: boolean } = {}): Answer[] {
  const found: Answer[] = []
  let rest = received
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) throw new Error(`not a whole head: ${JSON.stringify(rest)}`)
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n')
    const status = Number(first.split(' ')[1])
    const headers = Object.fromEntries(lines.map(line => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }))
    rest = rest.slice(end + 4)
    let body = ''
    if (heads || status < 200 || status === 204 || status === 304) {
      body = ''
    } else if (headers['content-length'] !== undefined) {
      body = rest.slice(0, Number(headers['content-length']))
      rest = rest.slice(body.length)
    } else if (headers['transfer-encoding'] === 'chunked') {
      while (true) {
        const size = parseInt(rest, 16)
        const start = rest.indexOf('\r\n') + 2
        body += rest.slice(start, start + size)
        rest = rest.slice(start + size + 2)
        if (!(size > 0)) break
      }
    } else {
      body = rest
      rest = ''
    }
    found.push({ status, headers, body })
  }
  return found
}
