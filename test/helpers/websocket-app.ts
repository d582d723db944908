import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import type { FastifyDrainOptions } from '../../index.ts'
import { testApp, type TestApp } from './app.ts'
import type { To } from './websocket.ts'

/** What the server has of a WebSocket. */
export interface Served {
  socket: WebSocket
  /** The messages that reached the handler. */
  messages: string[]
  /** What its 'close' event says, when it has come. */
  closed: Promise<{ code: number, reason: string }>
}

export interface WebSocketApp extends TestApp {
  to: To
  /** Every WebSocket so far, in the order in which they were opened. */
  served: Served[]
}

/** A handler of @fastify/websocket that greets with `hello`, and answers each message. */
export function greeter (served: Served[]): (socket: WebSocket) => void {
  return socket => {
    const messages: string[] = []
    const closed = new Promise<{ code: number, reason: string }>(resolve => {
      socket.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
    })
    socket.on('message', data => {
      const message = String(data)
      messages.push(message)
      socket.send(`got ${message.slice(0, 20)}`)
    })
    served.push({ socket, messages, closed })
    socket.send('hello')
  }
}

/** An app with a WebSocket at `/`, that listens. `prepare` adds to it before. */
export async function webSocketApp (
  t: { teardown (fn: () => unknown): void },
  { prepare = () => {}, server = {}, webSocket = {}, ...options }: {
    prepare?: (app: FastifyInstance) => unknown
    server?: object
    webSocket?: object
  } & FastifyDrainOptions = {}
): Promise<WebSocketApp> {
  const served: Served[] = []
  // Handshakes may take their time on a busy machine; tests that wait for the end of it say how long it is.
  const test = await testApp(t, { idleGrace: 100, peerCloseTimeout: 8000, lingerTimeout: 8000, lingerTime: 8000, hardStopAfter: 25_000, ...options }, server)
  await test.app.register(websocket, { options: webSocket })
  await prepare(test.app)
  test.app.get('/', { websocket: true }, greeter(served))
  const to = await test.listen()
  return { ...test, to, served }
}
