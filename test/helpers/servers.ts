import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { FastifyDrainOptions } from '../../index.ts'
import { testApp, type TestApp } from './app.ts'
import type { Client } from './exchange.ts'
import { http1Client } from './http1-client.ts'
import { http2Client, type Http2Client, type Http2Options } from './http2-client.ts'
import { tlsOptions } from './tls.ts'
import { plainWire, secureWire, type SecureOptions, type To, type Wire } from './wire.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** `allowHTTP1` is a client of HTTP/1.1 on the secure HTTP/2 server. */
export type ServerName = 'http' | 'https' | 'h2c' | 'h2' | 'allowHTTP1'

/** One of the servers that Fastify has, and what a client of it is made of. */
export interface Server {
  readonly name: ServerName
  readonly isSecure: boolean
  readonly isHttp2: boolean
  /** What Fastify needs to be told to make one. */
  readonly options: FastifyServerOptions
  /** An app on such a server. Its graces are short, its deadline is 10 s. */
  start (t: Teardown, options?: FastifyDrainOptions, routes?: (app: FastifyInstance) => void, server?: object): Promise<Started>
  /** A connection that has sent nothing of HTTP yet. */
  wire (t: Teardown, to: To, options?: SecureOptions): Promise<Wire>
  /** A client; of HTTP/2 it has sent its preface. */
  client (t: Teardown, to: To, options?: Http2Options): Promise<Client>
}

export interface Started extends TestApp {
  to: To
}

/** What a client may be asked only when it speaks HTTP/2. */
export const asHttp2 = (client: Client): Http2Client => client as Http2Client

function server (name: ServerName, options: FastifyServerOptions & { https?: object, http2?: boolean }): Server {
  const isSecure = 'https' in options
  const isHttp2 = name === 'h2c' || name === 'h2'
  const wire: Server['wire'] = async (t, to, secure = {}) => {
    if (!isSecure) return plainWire(t, to)
    const made = await secureWire(t, to, { ALPNProtocols: [isHttp2 ? 'h2' : 'http/1.1'], ...secure })
    await made.secured
    return made
  }
  return {
    name,
    isSecure,
    isHttp2,
    options,
    wire,
    async start (t, drain = {}, routes = hello, more = {}) {
      const started = await testApp(t, { idleGrace: 100, peerCloseTimeout: 50, ...drain }, { ...options, ...more } as FastifyServerOptions)
      routes(started.app)
      return { ...started, to: await started.listen() }
    },
    async client (t, to, options = {}) {
      const made = await wire(t, to)
      if (!isHttp2) return http1Client(made)
      const client = http2Client(made, options)
      await made.until(() => client.frames.length > 0, 'the settings of the server')
      return client
    }
  }
}

function hello (app: FastifyInstance): void {
  app.get('/', async () => 'hello')
}

const secureHttp2 = { http2: true, https: { ...tlsOptions, allowHTTP1: true } }

export const servers: Record<ServerName, Server> = {
  http: server('http', {}),
  https: server('https', { https: tlsOptions }),
  h2c: server('h2c', { http2: true }),
  h2: server('h2', secureHttp2),
  allowHTTP1: server('allowHTTP1', secureHttp2)
}

export type { Client, Exchange } from './exchange.ts'
export type { SecureWire, Wire } from './wire.ts'
export type { Http2Client } from './http2-client.ts'
