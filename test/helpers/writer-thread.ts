import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Client } from './exchange.ts'
import { http1Client } from './http1-client.ts'
import { http2Client } from './http2-client.ts'
import type { Server } from './servers.ts'
import type { To, Wire } from './wire.ts'

export interface WriterThread {
  /** Blocks this thread until `ms` have passed and the bytes are in the kernel's buffer of the server; timers come next. */
  writeWhileBlocked (bytes: Buffer, ms: number): Promise<void>
  /** Resolves when the connection has ended, with the code of the error that ended it; the client has read everything then. */
  ended: Promise<string | null>
  client: Client
}

const script = `
const { parentPort, workerData: { to, alpn, opening, until, written } } = require('node:worker_threads')
const options = { ...to, allowHalfOpen: true }
const socket = alpn === null
  ? require('node:net').connect(options)
  : require('node:tls').connect({ ...options, rejectUnauthorized: false, ALPNProtocols: [alpn] })
let received = ''
let error = null
let ready = false
const tellReady = () => { if (!ready) parentPort.postMessage({ ready: ready = true }) }
socket.setEncoding('latin1')
socket.on(alpn === null ? 'connect' : 'secureConnect', () => { socket.write(opening); if (until === '') tellReady() })
socket.on('data', text => { received += text; if (received.includes(until)) tellReady() })
socket.on('end', () => socket.end())
socket.on('error', ({ code }) => { error = code })
socket.on('close', () => { parentPort.postMessage({ received, error }); parentPort.close() })
parentPort.on('message', ({ bytes, ms }) => {
  setTimeout(() => socket.write(bytes, () => {
    Atomics.store(written, 0, 1)
    Atomics.notify(written, 0)
  }), ms)
})
`

/** A client in a thread of its own; resolves when it is connected, and has been answered if it has asked. */
export async function writerThread (
  t: { teardown (fn: () => unknown): void },
  server: Server,
  to: To,
  { asks }: { asks: boolean }
): Promise<WriterThread> {
  const written = new Int32Array(new SharedArrayBuffer(4))
  const { client, sent, receive } = onPaper(server)
  if (asks) client.ask('/')
  const alpn = server.isSecure ? server.isHttp2 ? 'h2' : 'http/1.1' : null
  const worker = new Worker(script, {
    eval: true, execArgv: [], workerData: { to, alpn, opening: Buffer.concat(sent), until: asks ? 'hello' : '', written }
  })
  t.teardown(() => worker.terminate())
  const failed = once(worker, 'error').then(([error]) => { throw error })
  const message = async (): Promise<any> => (await Promise.race([once(worker, 'message'), failed]))[0]
  await message()
  const ended = message().then(({ received, error }) => {
    receive(received, error)
    return error
  })
  return {
    client,
    ended,
    async writeWhileBlocked (bytes, ms) {
      // From here the event loop goes on with its timers, before it looks for input.
      await new Promise(resolve => setImmediate(resolve))
      worker.postMessage({ bytes, ms })
      if (Atomics.wait(written, 0, 0, 10_000) === 'timed-out') throw new Error('the thread has written nothing within 10 s')
    }
  }
}

/** A client without a connection: somebody else sends what it writes, and tells later what has come. */
function onPaper (server: Server): { client: Client, sent: Buffer[], receive (text: string, error: string | null): void } {
  const sent: Buffer[] = []
  let read = (_text: string): void => {}
  let received = ''
  let failed: string | null = null
  const wire = {
    get received () { return received },
    sawEnd: true,
    socket: { writable: false },
    get error () { return failed },
    onData (fn: (text: string) => void) { read = fn },
    write (bytes: Buffer) { sent.push(bytes) },
    async until (isSo: () => boolean, what: string) { if (!isSo()) throw new Error(`it did not come: ${what}`) }
  } as unknown as Wire
  return {
    client: server.isHttp2 ? http2Client(wire) : http1Client(wire),
    sent,
    receive (text, error) {
      received = text
      failed = error
      read(text)
    }
  }
}
