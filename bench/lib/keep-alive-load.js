import net from 'node:net'

import { now } from './now.js'
import { createRing } from './ring.js'

const retryAfter = 50
const requestTimeout = 10_000
const lagEvery = 2

/**
 * Keep-alive connections, one client each: GET and POST in turn, with a pause between that is random around `think`. A client
 * whose connection has closed makes another one, at once; a request is never sent twice.
 *
 * @param {object} options
 * @param {number} options.port
 * @param {number} options.connections
 * @param {number} options.think milliseconds
 */
export function startKeepAliveLoad ({ port, connections, think }) {
  const counts = {
    requests: 0, ok: 0, lost: 0, answered503: 0, refused: 0, reconnects: 0, opened: 0, longestWait: 0, members: {}, errors: {}
  }
  const times = createRing()
  const lags = createRing()
  // One for all sockets: an answer is read before the next one can come.
  const buffer = Buffer.allocUnsafe(16_384)
  let isStopping = false
  let silent = connections
  let onWarm
  const warm = new Promise(resolve => { onWarm = resolve })
  const clients = []
  let expected = now() + lagEvery
  const lagTimer = setInterval(() => {
    const at = now()
    lags.add(expected, Math.max(0, at - expected))
    expected = at + lagEvery
  }, lagEvery)

  return { counts, times, lags, open, stop }

  /** Resolves when each client has had an answer. */
  async function open () {
    // A few at a time: the accept queue of the server is finite.
    while (clients.length < connections) {
      const batch = Math.min(100, connections - clients.length)
      await Promise.all(Array.from({ length: batch }, () => new Promise(resolve => {
        const client = createClient(clients.length, resolve)
        clients.push(client)
        client.connect()
      })))
    }
    await warm
  }

  /** Resolves when every request has been answered, or has got no answer in time. */
  async function stop () {
    isStopping = true
    clearInterval(lagTimer)
    await Promise.all(clients.map(client => client.end()))
    return counts
  }

  function createClient (id, onOpen) {
    let n = 0
    let socket = null
    let isConnected = false
    let open = null
    let due = null
    let received = ''
    let timer = null
    let onOver = () => {}
    let isSilent = true

    return { connect, end }

    function connect () {
      if (isStopping) return
      const own = net.connect({
        port,
        host: '127.0.0.1',
        noDelay: true,
        onread: { buffer, callback: (length, bytes) => { if (own === socket) read(bytes.latin1Slice(0, length)) } }
      })
      socket = own
      own.on('connect', () => {
        isConnected = true
        counts.opened++
        if (n === 0) timer = setTimeout(ask, Math.random() * think)
        else if (due !== null) send()
        onOpen()
      })
      own.on('error', error => { if (own === socket) lose(error.code) })
      own.on('end', () => { if (own === socket) lose('closed') })
    }

    function ask () {
      due = now()
      if (isConnected) send()
    }

    function send () {
      n++
      open = request(id, n)
      open.at = now()
      open.due = due
      due = null
      received = ''
      socket.write(open.bytes)
      timer = setTimeout(lose, requestTimeout, 'no answer in time')
    }

    function read (text) {
      received += text
      if (open === null || !isWhole(received)) return true
      clearTimeout(timer)
      const at = now()
      times.add(open.at, at - open.at)
      counts.requests++
      counts.longestWait = Math.max(counts.longestWait, at - open.due)
      judge(received, open.expected)
      open = null
      heard()
      if (isStopping) {
        onOver()
        return true
      }
      timer = setTimeout(ask, think * (0.5 + Math.random()))
      if (/\r\nconnection: close/i.test(received)) again()
      return true
    }

    function heard () {
      if (isSilent && --silent === 0) onWarm()
      isSilent = false
    }

    function judge (answer, expected) {
      const status = answer.slice(9, 12)
      if (status === '503') counts.answered503++
      else if (status !== '200') failed(`status ${status}`)
      else if (!answer.endsWith(expected)) failed('wrong body')
      else counts.ok++
      const [, member] = /\r\nx-member: (\d+)/.exec(answer) ?? []
      if (member !== undefined) count(counts.members, member)
    }

    // What happens to the connection between two requests is no loss, but it shows as another connection.
    function lose (why) {
      const wasConnected = isConnected
      if (!wasConnected && why === 'ECONNREFUSED') counts.refused++
      if (open !== null) {
        clearTimeout(timer)
        open = null
        counts.requests++
        failed(why)
        if (isStopping) return onOver()
        timer = setTimeout(ask, think * (0.5 + Math.random()))
      }
      if (wasConnected) again()
      else {
        socket = null
        setTimeout(connect, retryAfter)
      }
    }

    function again () {
      counts.reconnects++
      isConnected = false
      socket.destroy()
      socket = null
      connect()
    }

    async function end () {
      if (open !== null) await new Promise(resolve => { onOver = resolve })
      clearTimeout(timer)
      socket?.destroy()
      socket = null
    }
  }

  function failed (why) {
    counts.lost++
    count(counts.errors, why)
  }
}

// The answer repeats what only this request said, so an answer to another request is not taken for it.
function request (id, n) {
  if (n % 2 === 1) return { bytes: `GET /items/${id}-${n} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, expected: `\r\n\r\n{"id":"${id}-${n}"}` }
  const body = `{"id":${id},"n":${n},"text":"a small body"}`
  return {
    bytes: `POST /items HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    expected: `\r\n\r\n${body}`
  }
}

function isWhole (answer) {
  const head = answer.indexOf('\r\n\r\n')
  if (head < 0) return false
  const length = /\r\ncontent-length: (\d+)/i.exec(answer)?.[1]
  return length !== undefined && answer.length >= head + 4 + Number(length)
}

function count (where, key) {
  where[key] = (where[key] ?? 0) + 1
}
