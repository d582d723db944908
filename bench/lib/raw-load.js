import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'

import { frameReader, getter, preface } from './raw-http2.js'

const request = 'GET /items/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'

/**
 * Keep-alive connections that cost next to nothing on the client's side. The server is then what limits the rate, and it
 * meets the same pattern of arrivals in every measurement.
 *
 * @param {object} options
 * @param {number} options.port
 * @param {number} options.count
 * @param {string} options.protocol `http`, `https`, `h2c` or `h2`
 */
export async function openConnections ({ port, count, protocol }) {
  const connections = []
  // A few at a time: the accept queue of the server is finite.
  while (connections.length < count) {
    const batch = Math.min(100, count - connections.length)
    connections.push(...await Promise.all(Array.from({ length: batch }, () => openConnection(port, protocol))))
  }
  return {
    run: total => run(connections, total),
    close: () => Promise.all(connections.map(close))
  }
}

/** Sends `total` requests, one at a time on every connection; resolves when all are answered. */
function run (connections, total) {
  return new Promise((resolve, reject) => {
    let unsent = total
    let unanswered = total

    for (const connection of connections) {
      connection.onAnswer = onAnswer
      connection.onError = reject
      if (unsent > 0) send(connection)
    }

    function onAnswer (connection) {
      if (--unanswered === 0) resolve()
      else if (unsent > 0) send(connection)
    }

    function send (connection) {
      unsent--
      connection.send()
    }
  })
}

async function openConnection (port, protocol) {
  const socket = await connect(port, protocol)
  const connection = { socket, send () {}, onAnswer () {}, onError () {} }
  await (protocol.startsWith('h2') ? speakHttp2(connection) : speakHttp1(connection))
  socket.on('error', error => connection.onError(error))
  socket.on('end', () => connection.onError(new Error('The server closed a connection during the measurement')))
  return connection
}

async function connect (port, protocol) {
  const to = { port, host: '127.0.0.1' }
  const isSecure = protocol === 'https' || protocol === 'h2'
  const socket = isSecure
    ? tls.connect({ ...to, rejectUnauthorized: false, ALPNProtocols: [protocol === 'h2' ? 'h2' : 'http/1.1'] })
    : net.connect(to)
  await once(socket, isSecure ? 'secureConnect' : 'connect')
  return socket.setNoDelay(true)
}

// Every answer is as long as the first one on its connection, so counting bytes is enough.
async function speakHttp1 (connection) {
  const { socket } = connection
  connection.send = () => socket.write(request)
  connection.send()
  const [first] = await once(socket, 'data')
  const answerLength = lengthOf(first.toString('latin1'))
  let received = 0
  socket.on('data', chunk => {
    received += chunk.length
    if (received < answerLength) return
    if (received > answerLength) return connection.onError(new Error('The server sent a longer answer than before'))
    received = 0
    connection.onAnswer(connection)
  })
}

async function speakHttp2 (connection) {
  const { socket } = connection
  const get = getter('/items/1')
  connection.send = () => socket.write(get())
  await new Promise((resolve, reject) => {
    Object.assign(connection, { onAnswer: resolve, onError: reject })
    socket.on('data', frameReader({
      answer: () => connection.onAnswer(connection),
      reply: bytes => socket.write(bytes),
      error: error => connection.onError(error)
    }))
    socket.write(preface())
    connection.send()
  })
}

function lengthOf (answer) {
  const head = answer.indexOf('\r\n\r\n') + 4
  const length = head + Number(/\r\ncontent-length: (\d+)/i.exec(answer)?.[1])
  if (!answer.startsWith('HTTP/1.1 200 ') || answer.length !== length) {
    throw new Error(`The server should answer 200 in one piece, but it sent:\n${answer}`)
  }
  return length
}

async function close ({ socket }) {
  const closed = once(socket, 'close')
  socket.destroy()
  await closed
}
