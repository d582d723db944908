import type { Wire } from './wire.ts'

export interface AskOptions {
  method?: string
  headers?: Record<string, string>
  /** Sent with the request; `null`: it will be written later. */
  body?: string | null
}

/** An answer. */
export interface Received {
  status: number
  /** Of HTTP/1.x only. */
  headers: Record<string, string>
  body: string
}

/** One request of a client, and what came of it. */
export interface Exchange {
  /** What it takes to send it, for those who send it in their own way. */
  readonly bytes: Buffer
  /** The statuses that have come so far, interim ones included. */
  readonly statuses: number[]
  /** What has come of the body so far. */
  readonly body: string
  /** `served`: the whole answer has come. `refused`: the server has said that it is not executed. `reset`: it broke off. */
  readonly end: 'open' | 'served' | 'refused' | 'reset'
  /** Nothing of the body waits to be sent. */
  readonly isSent: boolean
  /** A part of the body. */
  write (text: string): void
  /** The last part of the body. */
  finish (text?: string): void
  /** Resolves with the whole answer. */
  answer (): Promise<Received>
  /** Resolves when a final head has come. */
  headed (): Promise<void>
}

/** A client of one of the four servers; everything it sends and receives is visible. */
export interface Client {
  readonly wire: Wire
  /** Makes a request, and sends it. */
  ask (path: string, options?: AskOptions): Exchange
  /** Makes a request that somebody else will send. */
  prepare (path: string, options?: AskOptions): Exchange
  /** The server has said that it will serve no further request: `Connection: close`, or the final GOAWAY. */
  readonly isTold: boolean
  /** Something that keeps a connection busy and asks for nothing. */
  readonly trifle: Buffer
}
