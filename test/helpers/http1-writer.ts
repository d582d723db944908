import { Worker } from 'node:worker_threads'

export interface Writer {
  /** Blocks this thread until `ms` have passed and the bytes are in the kernel's buffer of the server; timers come next. */
  writeWhileBlocked (ms: number): Promise<void>
  /** What the client had received when the connection ended, and the code of the error that ended it. */
  ended: Promise<{ received: string, error: string | null }>
}

export interface WriterOptions {
  port: number
  /** Sent and answered first, if given. */
  first: string | null
  /** What is written while this thread is blocked. */
  bytes: string
}

const script = `
const { parentPort, workerData: { port, first, bytes, written } } = require('node:worker_threads')
const socket = require('node:net').connect({ port, host: '127.0.0.1', allowHalfOpen: true })
let received = ''
let error = null
let ready = false
const tellReady = () => { if (!ready) parentPort.postMessage({ ready: ready = true }) }
socket.setEncoding('latin1')
socket.on('connect', () => { if (first === null) tellReady(); else socket.write(first) })
socket.on('data', text => { received += text; tellReady() })
socket.on('end', () => socket.end())
socket.on('error', ({ code }) => { error = code })
socket.on('close', () => { parentPort.postMessage({ received, error }); parentPort.close() })
parentPort.on('message', ms => {
  setTimeout(() => socket.write(bytes, () => {
    Atomics.store(written, 0, 1)
    Atomics.notify(written, 0)
  }), ms)
})
`

/** A client in a thread of its own; resolves when it is connected, and its first request has been answered. */
export async function writerThread (t: { teardown (fn: () => unknown): void }, options: WriterOptions): Promise<Writer> {
  const written = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(script, { eval: true, execArgv: [], workerData: { ...options, written } })
  t.teardown(() => worker.terminate())
  const message = (): Promise<any> => new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  await message()
  return {
    ended: message(),
    async writeWhileBlocked (ms) {
      // From here the event loop goes on with its timers, before it looks for input.
      await new Promise(resolve => setImmediate(resolve))
      worker.postMessage(ms)
      if (Atomics.wait(written, 0, 0, 10_000) === 'timed-out') throw new Error('the thread has written nothing within 10 s')
    }
  }
}
