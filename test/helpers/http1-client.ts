import type { AskOptions, Client, Exchange } from './exchange.ts'
import { request } from './raw-client.ts'
import type { Wire } from './wire.ts'

/** A client of HTTP/1.1. */
export function http1Client (wire: Wire): Client {
  const methods: string[] = []
  const messages = readMessages(wire, methods)
  const finals = (): Message[] => messages.filter(({ status }) => status >= 200)
  const saysClose = ({ headers }: Message): boolean => headers['connection'] === 'close'

  return {
    wire,
    trifle: Buffer.from('\r\n'),
    get isTold () { return finals().some(saysClose) },
    prepare,
    ask (path, options) {
      const exchange = prepare(path, options)
      wire.write(exchange.bytes)
      return exchange
    }
  }

  function prepare (path: string, { method = 'GET', headers = {}, body = '' }: AskOptions = {}): Exchange {
    const index = methods.push(method) - 1
    const chunked = body === null && headers['content-length'] === undefined
    const allHeaders = { ...headers, ...chunked ? { 'transfer-encoding': 'chunked' } : {} }
    const own = (): Message | undefined => finals()[index]
    const isWhole = (): boolean => own()?.left === 0 || (own()?.endsByFin === true && wire.sawEnd)
    const exchange: Exchange = {
      bytes: Buffer.from(request(path, { method, body: body ?? '', headers: allHeaders }), 'latin1'),
      get statuses () { return messages.filter(message => message.index === index).map(({ status }) => status) },
      get body () { return own()?.parts.join('') ?? '' },
      get isSent () { return wire.raw.socket.writableLength === 0 },
      get end () {
        if (isWhole()) return 'served'
        const last = finals().findIndex(saysClose)
        if (last >= 0 && last < index) return 'refused'
        return wire.sawEnd || wire.error !== null ? 'reset' : 'open'
      },
      write (text) { wire.write(chunked ? `${text.length.toString(16)}\r\n${text}\r\n` : text) },
      finish (text = '') {
        if (text !== '') exchange.write(text)
        if (chunked) wire.write('0\r\n\r\n')
      },
      async answer () {
        await wire.until(isWhole, `the answer to ${method} ${path}`)
        const { status, headers } = own() as Message
        return { status, headers, body: exchange.body }
      },
      headed: () => wire.until(() => own() !== undefined, `a head that answers ${method} ${path}`)
    }
    return exchange
  }
}

interface Message {
  /** Of the request that it answers. */
  index: number
  status: number
  headers: Record<string, string>
  parts: string[]
  /** How much of the body is missing, as far as that is known. */
  left: number
  endsByFin: boolean
}

/** The answers as they come in, interim ones included. */
function readMessages (wire: Wire, methods: string[]): Message[] {
  const messages: Message[] = []
  let index = 0
  let rest = ''
  // Behind the part of the body that is being read there is another chunk.
  let chunked = false

  wire.onData(text => {
    rest += text
    for (let goesOn = true; goesOn;) goesOn = rest !== '' && step()
  })
  return messages

  /** Reads on; `false`: there is not enough. */
  function step (): boolean {
    const message = messages.at(-1)
    if (message === undefined || message.left === 0) return readHead()
    if (!chunked) return readBody(message)
    return readChunk(message)
  }

  function readHead (): boolean {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) return false
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n')
    rest = rest.slice(end + 4)
    const status = Number(first.split(' ')[1])
    const headers = Object.fromEntries(lines.map(line => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }))
    const bare = status < 200 || status === 204 || status === 304 || methods[index] === 'HEAD'
    chunked = !bare && headers['transfer-encoding'] === 'chunked'
    const left = bare ? 0 : Number(headers['content-length'] ?? Infinity)
    messages.push({ index, status, headers, parts: [], left, endsByFin: left === Infinity && !chunked })
    if (status >= 200) index++
    return true
  }

  function readBody (message: Message): boolean {
    const part = rest.slice(0, message.left)
    message.parts.push(part)
    message.left -= part.length
    rest = rest.slice(part.length)
    return true
  }

  function readChunk (message: Message): boolean {
    const line = rest.indexOf('\r\n')
    const size = parseInt(rest.slice(0, Math.max(0, line)), 16)
    const end = line + 2 + size + 2
    // Nor is it a chunk if no length is there: an error was written into the middle of an answer.
    if (line < 0 || !(rest.length >= end)) return false
    message.parts.push(rest.slice(line + 2, line + 2 + size))
    if (size === 0) message.left = 0
    rest = rest.slice(end)
    return true
  }
}
