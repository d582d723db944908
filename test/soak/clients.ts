import type { Client } from './client.ts'
import { endedSource, eventSource, eventSourceTls } from './event-source.ts'
import { halfClosed, keepAlive, keepAliveTls, newConnections, pipelined, resets, tooLarge, uploads } from './http1-clients.ts'
import { h2, h2c } from './http2-clients.ts'
import { slowReader } from './slow-reader.ts'
import { webSocket, webSocketTls } from './websocket-client.ts'

/** Who uses each service, and how many there are of each: about 70 requests per second. */
export const clients: Record<string, { client: Client, count: number, /** It ends with the service alone. */ isEndless?: boolean }> = {
  'keep-alive': { client: keepAlive, count: 3 },
  'keep-alive-tls': { client: keepAliveTls, count: 1 },
  new: { client: newConnections, count: 1 },
  pipelined: { client: pipelined, count: 1 },
  'half-closed': { client: halfClosed, count: 1 },
  reset: { client: resets, count: 1 },
  upload: { client: uploads, count: 1 },
  'too-large': { client: tooLarge, count: 1 },
  slow: { client: slowReader, count: 1 },
  h2c: { client: h2c, count: 1 },
  h2: { client: h2, count: 1 },
  websocket: { client: webSocket, count: 1, isEndless: true },
  'websocket-tls': { client: webSocketTls, count: 1, isEndless: true },
  events: { client: eventSource, count: 1, isEndless: true },
  'events-tls': { client: eventSourceTls, count: 1, isEndless: true },
  'ended-events': { client: endedSource, count: 1, isEndless: true }
}
