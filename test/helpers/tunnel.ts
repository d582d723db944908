import type { IncomingMessage } from 'node:http'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyDrainOptions } from '../../index.ts'
import { testApp, type TestApp } from './app.ts'
import { rawClient } from './raw-client.ts'
import { tlsClient } from './tls-client.ts'

interface Test { teardown (fn: () => unknown): void }

export interface Tunnel {
  /** The server's side of the client's connection. */
  socket: Duplex
  /** The connection to what is behind. */
  upstream: Socket
}

export interface TunnelApp extends TestApp {
  to: { host: string, port: number }
  /** In the order in which they were opened. */
  tunnels: Tunnel[]
}

/** What tunnels lead to: begins with `hello`, repeats what it gets, and says `rest` before it ends with its peer. */
async function backend (t: Test, rest: string): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.write('hello ')
    socket.pipe(socket, { end: false })
    socket.on('end', () => socket.end(rest))
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** An app that listens, and makes a tunnel of every CONNECT as most proxies do: two pipes. */
export async function tunnelApp (
  t: Test, { rest = 'bye', onTunnel = () => {}, server = {}, ...options }: {
    rest?: string
    onTunnel?: (app: TestApp['app'], tunnel: Tunnel) => void
    server?: object
  } & FastifyDrainOptions = {}
): Promise<TunnelApp> {
  const port = await backend(t, rest)
  const test = await testApp(t, { idleGrace: 100, lingerTimeout: 8000, lingerTime: 8000, ...options }, server)
  const tunnels: Tunnel[] = []
  test.app.server.on('connect', (_request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const upstream = connect({ host: '127.0.0.1', port, allowHalfOpen: true }, () => {
      if (!socket.writable) return
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.write(head)
      socket.pipe(upstream).pipe(socket)
    })
    upstream.on('error', () => socket.destroy())
    socket.on('close', () => upstream.destroy())
    tunnels.push({ socket, upstream })
    onTunnel(test.app, { socket, upstream })
  })
  return { ...test, to: await test.listen(), tunnels }
}

export interface TunnelClient {
  readonly received: string
  readonly sawEnd: boolean
  write (text: string): void
  until (fits: RegExp): Promise<unknown>
  pause (): void
  resume (): void
  /** Resolves with the end of the server's side. */
  end (): Promise<unknown>
  halfClose (): void
  reset (): void
  /** Resolves when the connection is gone, with the error code, if any. */
  closed (): Promise<string | null>
}

/** A client that answers no FIN by itself, plain or over TLS. */
export async function tunnelClient (t: Test, to: { host: string, port: number }, secure = false): Promise<TunnelClient> {
  if (!secure) {
    const raw = await rawClient(t, to)
    return {
      get received () { return raw.received },
      get sawEnd () { return raw.sawFin },
      write: text => raw.write(text),
      until: fits => raw.until(fits),
      pause: () => { raw.socket.pause() },
      resume: () => { raw.socket.resume() },
      end: () => raw.fin(),
      halfClose: () => raw.halfClose(),
      reset: () => raw.reset(),
      closed: () => raw.closed()
    }
  }
  const client = await tlsClient(t, to)
  return {
    get received () { return client.received },
    get sawEnd () { return client.sawEnd },
    write: text => { client.socket.write(text) },
    until: fits => client.until(fits),
    pause: () => { client.raw.socket.pause() },
    resume: () => { client.raw.socket.resume() },
    end: () => client.raw.fin(),
    halfClose: () => { client.socket.end() },
    reset: () => client.raw.reset(),
    closed: () => client.raw.closed()
  }
}

/** The bytes that open a tunnel. */
export const connectRequest = 'CONNECT example.org:1 HTTP/1.1\r\nhost: example.org:1\r\n\r\n'
