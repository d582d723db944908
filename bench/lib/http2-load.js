import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'

import { SentStreams } from './sent-streams.js'

const requestTimeout = 15_000
const longestWork = 30

/**
 * HTTP/2 clients in a closed loop: each keeps one session with `streams` streams, GET and POST in turn, and as soon as one is
 * answered the next one is opened. A session that was told GOAWAY gets no further stream, and a new one takes its place.
 * What the server refused is sent again there.
 *
 * @param {object} options
 * @param {number} options.port
 * @param {boolean} options.secure
 * @param {number} options.sessions
 * @param {number} options.streams
 * @param {string} options.name what the ids of the requests begin with
 */
export function startHttp2Load ({ port, secure, sessions, streams, name }) {
  const tally = { answered: 0, answered503: [], refused: [], neverSent: 0, lost: [], errors: {}, connectErrors: {}, goaways: 0, outlived: [] }
  const stopping = new AbortController()
  let lastId = 0
  const clients = Array.from({ length: sessions }, () => client())
  const warm = Promise.all(clients.map(({ first }) => first))

  return { warm, stop }

  async function stop () {
    stopping.abort()
    await Promise.all(clients.map(({ done }) => done))
    return tally
  }

  function client () {
    let current = null
    let answeredOnce
    const first = new Promise(resolve => { answeredOnce = resolve })
    const done = Promise.all(Array.from({ length: streams }, loop)).then(() => current?.then(({ session }) => session.close()))
    return { first, done }

    async function loop () {
      while (!stopping.signal.aborted) {
        // A request that was refused is the same request; its attempts are told apart by their ids.
        const isPost = lastId % 2 === 1
        while (await attempt(isPost) === 'again' && !stopping.signal.aborted);
        answeredOnce()
      }
    }

    async function attempt (isPost) {
      const connection = await connected()
      if (connection === null) return 'again'
      const id = `${name}-${++lastId}`
      const outcome = await request(connection, id, isPost)
      if (outcome === 'unusable' && current !== null) current = null
      return outcome === 'answered' || outcome === 'lost' ? outcome : 'again'
    }

    async function connected () {
      current ??= open()
      const mine = current
      const connection = await mine
      if (connection !== null && !connection.leaving) return connection
      // Whoever comes first replaces it.
      if (current === mine) current = null
      if (connection === null) await sleep(20)
      return null
    }
  }

  async function open () {
    const to = { port, host: '127.0.0.1', noDelay: true }
    const socket = secure ? tls.connect({ ...to, rejectUnauthorized: false, ALPNProtocols: ['h2'] }) : net.connect(to)
    try {
      await once(socket, secure ? 'secureConnect' : 'connect')
    } catch (error) {
      count(tally.connectErrors, error.code)
      return null
    }
    socket.setNoDelay(true)
    const wire = new SentStreams(socket)
    const session = http2.connect(`${secure ? 'https' : 'http'}://127.0.0.1`, { createConnection: () => wire })
    const connection = { session, wire, leaving: false, lastEnd: 0 }
    session.on('error', () => {})
    session.on('goaway', () => { leave(connection) })
    session.on('close', () => { leave(connection) })
    socket.on('close', () => { if (connection.told && connection.lastEnd > 0) tally.outlived.push(Math.round(performance.now() - connection.lastEnd)) })
    return connection
  }

  function leave (connection) {
    if (!connection.leaving && !stopping.signal.aborted) {
      tally.goaways++
      connection.told = true
    }
    connection.leaving = true
  }

  function request (connection, id, isPost) {
    const body = isPost ? JSON.stringify({ id, text: 'a small body' }) : ''
    const expected = isPost ? body : `{"id":"${id}"}`
    let stream
    try {
      stream = connection.session.request({
        ':method': isPost ? 'POST' : 'GET',
        ':path': isPost ? '/items' : `/items/${id}`,
        ...(isPost ? { 'content-type': 'application/json' } : {}),
        'x-id': id,
        'x-work': String(1 + Math.floor(Math.random() * longestWork))
      }, { endStream: !isPost })
    } catch {
      connection.leaving = true
      return 'unusable'
    }
    if (isPost) stream.end(body)
    return outcomeOf(stream, connection, id, expected)
  }

  function outcomeOf (stream, connection, id, expected) {
    return new Promise(resolve => {
      let status = 0
      let received = ''
      let error = null
      stream.setEncoding('utf8')
      stream.setTimeout(requestTimeout, () => stream.close(http2.constants.NGHTTP2_CANCEL))
      stream.on('response', headers => { status = headers[':status'] })
      stream.on('data', text => { received += text })
      stream.on('error', problem => { error = problem })
      stream.on('close', () => {
        connection.lastEnd = performance.now()
        const wasSent = connection.wire.has(stream.id)
        connection.wire.forget(stream.id)
        resolve(classify({ id, status, isRight: received === expected, code: stream.rstCode, wasSent, error }))
      })
    })
  }

  function classify ({ id, status, isRight, code, wasSent, error }) {
    if (status === 200 && isRight) {
      tally.answered++
      return 'answered'
    }
    if (status === 503) {
      tally.answered503.push(id)
      return 'lost'
    }
    if (!wasSent) {
      tally.neverSent++
      return 'again'
    }
    if (code === http2.constants.NGHTTP2_REFUSED_STREAM) {
      tally.refused.push(id)
      return 'again'
    }
    tally.lost.push(id)
    count(tally.errors, status === 200 ? 'incomplete' : error?.code === undefined ? `rst ${code}` : `${error.code} ${code}`)
    return 'lost'
  }
}

function count (where, key) {
  where[key] = (where[key] ?? 0) + 1
}
