import http2 from 'node:http2'
import net from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'

import { Client } from 'undici'

import { SentStreams } from './sent-streams.js'
import { createTally } from './tally.js'

const requestTimeout = 10_000

/**
 * Long-lived clients, each with one connection at a time: GET and POST in turn over HTTP/1.1, GET over HTTP/2, then a pause. A connection that was told to
 * end is replaced by another one. Nothing is retried but a stream that was refused, or that the client never sent, because of GOAWAY.
 *
 * @param {object} options
 * @param {number} options.port
 * @param {'http' | 'https' | 'h2c' | 'h2'} options.protocol
 * @param {number} options.clients
 * @param {number} options.arrival over how long they come, one after the other, in ms
 * @param {number} options.think pause between two requests, in ms
 */
export function startRotationLoad ({ port, protocol, clients, arrival, think }) {
  const tally = createTally()
  // Of HTTP/2: what the server refused, and what the client itself kept back when GOAWAY came.
  Object.assign(tally.counts, { refused: 0, neverSent: 0 })
  const stopping = new AbortController()
  const secure = protocol === 'https' || protocol === 'h2'
  const origin = `${secure ? 'https' : 'http'}://127.0.0.1:${port}`
  const connect = protocol.startsWith('h2') ? connectHttp2 : connectHttp1
  let silent = clients
  let resolveWarm
  const warm = new Promise(resolve => { resolveWarm = resolve })
  const ended = Promise.all(Array.from({ length: clients }, (_, i) => run(i)))

  return {
    counts: tally.counts,
    /** Resolves when each of them has had an answer. */
    warm,

    async stop () {
      stopping.abort()
      await ended
      return tally.counts
    }
  }

  async function run (id) {
    await sleep(arrival * id / clients + Math.random() * think)
    const client = connect(origin, tally)
    for (let n = 0; !stopping.signal.aborted; n++) {
      const start = performance.now()
      try {
        const { status, body, expected } = await client.ask(id, n)
        tally.answered(status, body === expected, performance.now() - start)
      } catch (error) {
        tally.lost(error)
      }
      if (n === 0 && --silent === 0) resolveWarm()
      // Each has its own rhythm.
      await sleep(think * (0.5 + Math.random()))
    }
    await client.close()
  }
}

function connectHttp1 (origin, tally) {
  const client = new Client(origin, {
    pipelining: 1,
    connect: { timeout: requestTimeout, rejectUnauthorized: false },
    headersTimeout: requestTimeout,
    bodyTimeout: requestTimeout
  })
  client.on('connect', () => tally.connected())
  return {
    async ask (id, n) {
      const { expected, ...options } = n % 2 === 0 ? get(id, n) : post(id, n)
      const { statusCode: status, body } = await client.request(options)
      return { status, body: await body.text(), expected }
    },
    close: () => client.destroy()
  }
}

function connectHttp2 (origin, tally) {
  let connection = null
  return {
    async ask (id, n) {
      const { path, expected } = get(id, n)
      while (true) {
        connection ??= open(origin, () => { connection = null })
        if (connection.isNew) {
          connection.isNew = false
          tally.connected()
        }
        const outcome = await exchange(connection, path)
        if (outcome.status !== undefined) return { ...outcome, expected }
        // Nobody has executed it; browsers and most other clients send such a request again by themselves.
        tally.counts[outcome.wasSent ? 'refused' : 'neverSent']++
      }
    },
    async close () { connection?.session.destroy() }
  }
}

function open (origin, onLeave) {
  const { hostname: host, port, protocol } = new URL(origin)
  const to = { host, port, noDelay: true }
  const wire = new SentStreams(protocol === 'https:' ? tls.connect({ ...to, rejectUnauthorized: false, ALPNProtocols: ['h2'] }) : net.connect(to))
  const session = http2.connect(origin, { createConnection: () => wire })
  let left = false
  for (const event of ['goaway', 'close', 'error']) {
    session.on(event, () => {
      if (!left) onLeave()
      left = true
    })
  }
  return { session, wire, isNew: true }
}

function exchange ({ session, wire }, path) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path })
    let status
    let body = ''
    let error = new Error('no answer')
    stream.setTimeout(requestTimeout, () => stream.destroy(new Error('no answer in time')))
    stream.on('response', headers => { status = headers[':status'] })
    stream.setEncoding('utf8').on('data', text => { body += text })
    stream.on('error', problem => { error = problem })
    stream.on('close', () => {
      const wasSent = wire.has(stream.id)
      wire.forget(stream.id)
      if (stream.rstCode === http2.constants.NGHTTP2_NO_ERROR && status !== undefined) resolve({ status, body })
      else if (!wasSent || stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM) resolve({ wasSent })
      else reject(error)
    })
  })
}

// The answer repeats what only this request said, so an answer to another request is not taken for it.
function get (id, n) {
  return { method: 'GET', path: `/items/${id}-${n}`, expected: `{"id":"${id}-${n}"}` }
}

function post (id, n) {
  const body = JSON.stringify({ id, n, text: 'a small body' })
  return { method: 'POST', path: '/items', headers: { 'content-type': 'application/json' }, body, expected: body }
}
