import net from 'node:net'
import { performance } from 'node:perf_hooks'

const patience = 10_000
const request = 'GET /items/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
const resets = new Set(['ECONNRESET', 'EPIPE'])

/**
 * Loops that each make a connection, send one GET, read the whole answer, close, and begin again. Nothing is retried.
 *
 * `served` counts right answers by the member that gave them, since takeShares() was called last.
 *
 * @param {object} options
 * @param {number} options.port
 * @param {number} options.loops
 * @param {number} options.maxTime milliseconds after which the load ends by itself
 */
export function startConnectionLoad ({ port, loops, maxTime }) {
  const counts = { connections: 0, refused: 0, reset: 0, empty: 0, other: 0, others: {}, latencyMax: 0 }
  const deadline = performance.now() + maxTime
  const stopping = new AbortController()
  let served = {}
  // Each has an address of its own: connections that the client closed first leave its port in TIME_WAIT.
  const ended = Promise.all(Array.from({ length: loops }, (_, i) => loop(`127.1.${i >> 8}.${(i & 255) || 1}`)))

  return {
    counts,

    takeShares () {
      const taken = served
      served = {}
      return taken
    },

    async stop () {
      stopping.abort()
      await ended
      return counts
    }
  }

  async function loop (localAddress) {
    while (!stopping.signal.aborted && performance.now() < deadline) {
      const start = performance.now()
      const result = await exchange(port, localAddress)
      counts.connections++
      counts.latencyMax = Math.max(counts.latencyMax, performance.now() - start)
      if (result.member !== undefined) served[result.member] = (served[result.member] ?? 0) + 1
      else count(result.error)
    }
  }

  function count (error) {
    if (error === 'ECONNREFUSED') counts.refused++
    else if (resets.has(error)) counts.reset++
    else if (error === 'empty') counts.empty++
    else {
      counts.other++
      counts.others[error] = (counts.others[error] ?? 0) + 1
    }
  }
}

// Resolves with the member that answered, or with what went wrong.
function exchange (port, localAddress) {
  return new Promise(resolve => {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress, noDelay: true })
    let received = ''
    const timer = setTimeout(end, patience, { error: 'no answer in time' })
    socket.setEncoding('latin1')
    socket.on('connect', () => socket.write(request))
    socket.on('data', data => {
      received += data
      if (isWhole(received)) end(judge(received))
    })
    socket.on('end', () => end({ error: received === '' ? 'empty' : 'cut short' }))
    socket.on('error', error => end({ error: error.code }))

    function end (result) {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
  })
}

function isWhole (answer) {
  const head = answer.indexOf('\r\n\r\n')
  if (head < 0) return false
  const length = /\r\ncontent-length: (\d+)/i.exec(answer)?.[1]
  return length !== undefined && answer.length >= head + 4 + Number(length)
}

function judge (answer) {
  const status = answer.slice(9, 12)
  if (status !== '200') return { error: `status ${status}` }
  if (!answer.endsWith('{"id":"1"}')) return { error: 'wrong body' }
  return { member: /\r\nx-member: (\d+)/i.exec(answer)?.[1] }
}
