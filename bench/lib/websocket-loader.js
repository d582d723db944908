// A process full of WebSocket clients, which takes its orders over IPC.
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'

import { answerOrders } from './orders.js'

// What the README advises: any time between none and this, twice as long after each try that has failed.
const firstWait = 500
const longestWait = 30_000
// A few at a time: the accept queue of the server is finite.
const batch = 50

const clients = []

answerOrders({
  async open ({ port, count }) {
    while (clients.length < count) {
      await Promise.all(Array.from({ length: Math.min(batch, count - clients.length) }, () => openClient(port)))
    }
  },

  /** What became of the WebSockets to that process; resolves when every client has one to another process, or at the limit. */
  async outcome ({ pid, limit }) {
    const end = performance.now() + limit
    while (performance.now() < end && clients.some(({ server }) => server === null || server === pid)) await sleep(20)
    return clients.map(({ closed, opened, failed, server }) => ({ closed, opened, failed, moved: server !== null && server !== pid }))
  }
})

async function openClient (port) {
  const client = { server: null, closed: null, opened: null, failed: 0 }
  clients.push(client)
  await connect(client, port, 0)
}

/** Resolves when the server has said who it is. */
async function connect (client, port, attempt) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`, { perMessageDeflate: false })
  socket.on('error', () => {})
  socket.addEventListener('close', ({ code, wasClean }) => {
    const wasOpen = client.server !== null
    if (wasOpen) client.closed ??= { code, wasClean, at: now() }
    else client.failed++
    client.server = null
    const next = wasOpen ? 0 : attempt + 1
    setTimeout(connect, Math.random() * Math.min(longestWait, firstWait * 2 ** next), client, port, next)
  })
  const [message] = await Promise.race([once(socket, 'message'), once(socket, 'close').then(() => [null])])
  if (message === null) return
  client.server = Number(String(message))
  if (client.closed !== null) client.opened ??= now()
}

// Comparable with other processes of this machine.
function now () {
  return performance.timeOrigin + performance.now()
}
