import type { FastifyInstance, FastifyReply } from 'fastify'
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import http2, { type ClientHttp2Stream, type ServerHttp2Stream } from 'node:http2'
import https from 'node:https'
import type { Readable } from 'node:stream'
import type { FastifyDrainOptions } from '../../index.ts'
import { testApp, type TestApp } from './app.ts'
import { tlsOptions } from './tls.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** Every kind of server that a Fastify app can have, by its options. */
export const servers = {
  http: {},
  https: { https: tlsOptions },
  h2c: { http2: true },
  'secure h2': { http2: true, https: tlsOptions }
} as const

export type ServerName = keyof typeof servers

export interface Stream {
  path: string
  status: number
  headers: Record<string, unknown>
  /** The body so far. */
  readonly text: string
  readonly body: Readable
  /** Resolves when the body so far fits. */
  until (fits: RegExp): Promise<string>
  /** Resolves when the body has ended: `complete`, or the code of what cut it short. */
  ended: Promise<string>
  /** Ends it from this side. */
  cancel (): void
}

export interface StreamApp extends TestApp {
  port: number
  /** Sends a request, on a connection of its own if not told otherwise, and resolves with the head of its answer. */
  open (path: string, options?: OpenOptions): Promise<Stream>
}

export interface OpenOptions {
  method?: string
  headers?: Record<string, string>
  /** Reads nothing until `body.resume()`. */
  paused?: boolean
}

/** An app of this kind with the plugin, and a client for it. `routes` is called before it listens. */
export async function streamApp (t: Teardown, name: ServerName, options: FastifyDrainOptions, routes: (app: FastifyInstance) => unknown): Promise<StreamApp> {
  const made = await testApp(t, { idleGrace: 50, peerCloseTimeout: 50, ...options }, servers[name] as object)
  await routes(made.app)
  const { port } = await made.listen()
  return { ...made, port, open: (path, options) => (name.includes('h2') ? openHttp2 : openHttp1)(t, name, port, path, options) }
}

async function openHttp1 (t: Teardown, name: ServerName, port: number, path: string, { method = 'GET', headers = {}, paused = false }: OpenOptions = {}): Promise<Stream> {
  const agent = new (name === 'https' ? https : http).Agent({ keepAlive: false })
  const request = (name === 'https' ? https : http).request({ host: '127.0.0.1', port, path, method, agent, headers, rejectUnauthorized: false } as https.RequestOptions)
  request.end()
  t.teardown(() => request.destroy())
  const [answer] = await once(request, 'response') as [IncomingMessage]
  return streamOf(path, answer, answer.statusCode ?? 0, answer.headers, paused, () => request.destroy())
}

async function openHttp2 (t: Teardown, name: ServerName, port: number, path: string, { method = 'GET', headers = {}, paused = false }: OpenOptions = {}): Promise<Stream> {
  const session = http2.connect(`${name === 'h2c' ? 'http' : 'https'}://127.0.0.1:${port}`, { rejectUnauthorized: false })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const stream = session.request({ ':path': path, ':method': method, ...headers })
  const [head] = await once(stream, 'response')
  // A client that has what it wanted leaves.
  stream.once('close', () => session.close())
  return streamOf(path, stream, head[':status'], head, paused, () => stream.close())
}

function streamOf (path: string, body: Readable, status: number, headers: object, paused: boolean, cancel: () => void): Stream {
  let text = ''
  const ended = new Promise<string>(resolve => {
    body.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    if (!('rstCode' in body)) body.once('end', () => resolve('complete'))
    // A stream of HTTP/2 has an 'end' when its session breaks, too.
    body.once('close', () => resolve((body as Partial<ClientHttp2Stream>).rstCode === 0 ? 'complete' : 'closed'))
  })
  body.setEncoding('latin1')
  body.on('data', part => { text += part })
  if (paused) body.pause()
  return {
    path,
    status,
    headers: headers as Record<string, unknown>,
    get text () { return text },
    body,
    async until (fits) {
      const over = ended.then(end => { throw new Error(`it ended (${end}) before ${fits} came; received ${JSON.stringify(text)}`) })
      over.catch(() => {})
      while (!fits.test(text)) await Promise.race([once(body, 'data'), over])
      return text
    },
    ended,
    cancel
  }
}

/** Server-sent events, written by hand as most people do: the first at once, then one every 10 ms, for ever. */
export function endlessEvents (reply: FastifyReply): { stopped: Promise<unknown>, writes: () => number } {
  reply.hijack()
  const { raw } = reply
  let writes = 0
  raw.writeHead(200, { 'content-type': 'text/event-stream' })
  const write = (): void => { raw.write(`id: ${++writes}\ndata: tick\n\n`) }
  write()
  const timer = setInterval(write, 10)
  // After HEAD over HTTP/2 only the stream has this event.
  const stopped = new Promise(resolve => { ((raw as { stream?: ServerHttp2Stream }).stream ?? raw).once('close', resolve) })
  stopped.then(() => clearInterval(timer))
  return { stopped, writes: () => writes }
}
