// A process full of keep-alive clients that are idle, which takes its orders over IPC.
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

import { now } from './now.js'
import { answerOrders } from './orders.js'

const request = 'GET /items/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
const answerEnd = '{"id":"1"}'
// A few at a time: the accept queue of the server is finite.
const batch = 100
const retryAfter = 50

/** Each has one connection. */
const clients = []
const errors = {}
let comesBack = false

answerOrders({
  /** Opens as many connections, from these addresses in turn, with a request on each. */
  async open ({ port, count, addresses }) {
    while (clients.length < count) {
      await Promise.all(Array.from({ length: Math.min(batch, count - clients.length) }, () => openClient(port, addresses[clients.length % addresses.length])))
    }
  },

  /** Closes all. */
  async close () {
    for (const { socket } of clients.splice(0)) socket.resetAndDestroy()
  },

  /**
   * The server is about to be told. From now on a client whose connection has closed makes another one at once, if `returns`;
   * the first `asking` clients send one request within `within` milliseconds, on the connection that they have then.
   */
  async expectClose ({ returns, asking, within }) {
    comesBack = returns
    for (const client of clients.slice(0, asking)) setTimeout(ask, Math.random() * within, client)
  },

  /** What became of the clients; resolves when the connection of each has closed, and another one is there if they come back, or at the limit, in ms. */
  async outcome ({ limit }) {
    const end = now() + limit
    while (now() < end && clients.some(({ closed, socket }) => !closed || (comesBack && socket === null))) await sleep(20)
    return {
      fins: clients.map(({ fin }) => fin).filter(fin => fin !== null),
      left: clients.filter(({ closed }) => !closed).length,
      back: clients.filter(({ closed, socket }) => closed && socket !== null).length,
      asked: sum(({ asked }) => asked),
      lost: sum(({ lost }) => lost),
      errors
    }
  }
})

function sum (of) {
  return clients.reduce((total, client) => total + of(client), 0)
}

async function openClient (port, localAddress) {
  const client = { port, localAddress, socket: null, isWaiting: false, received: '', fin: null, closed: false, asked: 0, lost: 0 }
  clients.push(client)
  await connect(client)
  await new Promise(resolve => {
    client.answered = resolve
    ask(client)
  })
}

/** Resolves when it is connected. */
function connect (client) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port: client.port, host: '127.0.0.1', localAddress: client.localAddress, noDelay: true })
    socket.on('connect', () => {
      client.socket = socket
      resolve()
    })
    socket.on('data', chunk => received(client, chunk))
    socket.on('end', () => { client.fin ??= now() })
    socket.on('error', error => { errors[error.code] = (errors[error.code] ?? 0) + 1 })
    socket.on('close', () => {
      const wasOpen = client.socket === socket
      client.socket = null
      if (wasOpen) lose(client)
      if (!comesBack) reject(new Error('A client could not connect'))
      else if (wasOpen) connect(client)
      else setTimeout(() => connect(client).then(resolve), retryAfter)
    })
  })
}

// Who has no connection at that moment has nothing to lose.
function ask (client) {
  if (client.socket === null) return
  client.isWaiting = true
  client.received = ''
  client.asked++
  client.socket.write(request)
}

function received (client, chunk) {
  client.received += chunk.toString('latin1')
  if (!client.received.endsWith(answerEnd)) return
  client.isWaiting = false
  client.answered?.()
  // Who is told closes first, as HTTP clients do.
  if (/\r\nconnection: close\r\n/i.test(client.received)) client.socket.end()
}

function lose (client) {
  client.closed = true
  if (client.isWaiting) client.lost++
  client.isWaiting = false
}
