import { connect, constants } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FuzzClient } from './fuzz-client.ts'
import type { Random } from './fuzz-random.ts'
import type { FuzzServer } from './fuzz-servers.ts'

const operations = ['now', 'now', 'slow', 'slow', 'stream', 'throw', 'body', 'early', 'cancel', 'ping', 'close'] as const

/** A client of HTTP/2 that makes up its mind at random. What is refused it does not send again. */
export function http2Client (port: number, { secure }: FuzzServer, name: string, { int, pick }: Random): FuzzClient {
  const session = connect(`${secure ? 'https' : 'http'}://127.0.0.1:${port}`, { rejectUnauthorized: false })
  const client: FuzzClient = {
    ids: [],
    log: [],
    received: '',
    error: null,
    rude: false,
    over: false,
    get ended () { return session.destroyed },
    done: Promise.resolve(),
    destroy: () => session.destroy()
  }
  session.on('error', (error: NodeJS.ErrnoException) => { client.error = error.code ?? error.message })
  session.on('goaway', () => { client.over = true })
  session.on('close', () => { client.over = true })
  client.done = act()
  return client

  async function act (): Promise<void> {
    const steps = int(0, 10)
    for (let i = 0; i < steps && !client.over; i++) {
      await sleep(pick([0, 0, int(0, 30)]))
      const operation = pick(operations)
      const [ms, waits] = [int(0, 120), pick([true, false])]
      if (client.over) return
      client.log.push(operation)
      if (operation === 'close') return session.close()
      if (operation === 'ping') session.ping(() => {})
      else await request(operation, `${name}.${i}`, ms, waits)
    }
  }

  async function request (operation: typeof operations[number], id: string, ms: number, waits: boolean): Promise<void> {
    const isPost = operation === 'body' || operation === 'early'
    const path = operation === 'cancel' ? '/slow' : operation === 'body' ? '/echo' : `/${operation}`
    const stream = session.request({ ':method': isPost ? 'POST' : 'GET', ':path': path, id, ms: String(ms), ...isPost ? { 'content-type': 'text/plain' } : {} }, { endStream: !isPost })
    stream.setEncoding('latin1').on('data', (text: string) => { client.received += text })
    stream.on('error', () => {})
    const closed = new Promise<void>(resolve => stream.once('close', resolve))
    if (operation === 'cancel') setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), ms)
    else client.ids.push(id)
    if (isPost) {
      stream.write('x'.repeat(1000))
      setTimeout(() => { if (!stream.destroyed) stream.end('x'.repeat(1000)) }, int(0, 40))
    }
    if (waits) await Promise.race([closed, sleep(300)])
  }
}
