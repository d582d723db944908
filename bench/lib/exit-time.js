import { once } from 'node:events'
import net from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

import { startInstance } from './instance.js'
import { openListener } from './listener.js'
import { startLoad } from './load.js'

/** What the connections do at SIGTERM. */
export const series = {
  busy: { title: 'a request in flight on each connection', work: 500, begin: beginBusy },
  idle: { title: 'idle connections only', work: 5, begin: beginIdle },
  mixed: { title: 'half of them idle, half thinking', work: 5, begin: beginMixed }
}

const think = 400
const batch = 100

/**
 * How long one kind of server takes to exit after SIGTERM, while the successor listens.
 *
 * @param {object} options
 * @param {string} options.variant
 * @param {keyof series} options.kind
 * @param {number} options.connections
 * @param {number} options.killAfter milliseconds the server may take to exit
 */
export async function measureExit ({ variant, kind, connections, killAfter }) {
  const { work, begin } = series[kind]
  const listener = await openListener()
  const servers = [1, 2].map(() => startInstance({ variant, work, fds: [listener.fd] }))
  await listener.close()
  const { port } = listener
  let clients
  try {
    await Promise.all(servers.map(server => server.load()))
    await servers[0].listen()
    clients = await begin({ port, connections, work })
    await servers[1].listen()
    await clients.ready()
    const signalled = performance.now()
    const exit = await servers[0].terminate(killAfter)
    const { lost, lastAnswer } = await clients.end()
    return { variant, kind, connections, exit, lost, longest: lastAnswer === null ? null : lastAnswer - signalled, stderr: servers.map(server => server.stderr()).filter(Boolean) }
  } finally {
    await clients?.end()
    await Promise.all(servers.map(server => server.kill()))
  }
}

/** Each sends one request; their ends are spread over half the time that one takes. */
async function beginBusy ({ port, connections, work }) {
  const idle = await connectAll(port, connections)
  const answers = []
  let answered
  return {
    async ready () {
      for (const connection of idle) answers.push(sleep(Math.random() * work / 2).then(() => connection.ask()))
      answered = Promise.all(answers)
      await sleep(work / 2 + 50)
    },
    async end () {
      const results = await answered ?? []
      for (const connection of idle) connection.destroy()
      return { lost: results.filter(({ isOk }) => !isOk).length, lastAnswer: Math.max(...results.map(({ at }) => at)) }
    }
  }
}

async function beginIdle ({ port, connections }) {
  const idle = await connectAll(port, connections)
  return {
    ready: () => {},
    async end () {
      for (const connection of idle) connection.destroy()
      return { lost: 0, lastAnswer: null }
    }
  }
}

async function beginMixed ({ port, connections }) {
  const half = Math.ceil(connections / 2)
  const idle = await connectAll(port, half)
  const load = startLoad({ port, clients: connections - half, think: [think] })
  await load.warm
  return {
    ready: () => sleep(think),
    async end () {
      for (const connection of idle) connection.destroy()
      const { lost, answered503 } = await load.stop()
      return { lost: lost + answered503, lastAnswer: null }
    }
  }
}

/** Keep-alive connections that have had one answer each. */
async function connectAll (port, count) {
  const connections = []
  // A few at a time: the accept queue of the server is finite.
  while (connections.length < count) {
    connections.push(...await Promise.all(Array.from({ length: Math.min(batch, count - connections.length) }, () => connect(port))))
  }
  return connections
}

async function connect (port) {
  // Like most clients it closes when it is told to, or when the server has closed.
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  socket.on('error', () => {})
  const connection = { ask, destroy: () => socket.destroy() }
  const { isOk } = await ask()
  if (!isOk) throw new Error('A connection was closed before the measurement')
  return connection

  /** Resolves with the moment of the answer, or of the end of the connection without one. */
  function ask () {
    return new Promise(resolve => {
      let received = ''
      socket.on('data', read)
      socket.once('close', over)
      if (!socket.writable) over()
      else socket.write('GET /items/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')

      function read (bytes) {
        received += bytes.toString('latin1')
        if (!received.endsWith('{"id":"1"}')) return
        if (/\r\nconnection: close/i.test(received)) socket.end()
        over()
      }

      function over () {
        socket.off('data', read)
        socket.off('close', over)
        resolve({ at: performance.now(), isOk: received.startsWith('HTTP/1.1 200 ') })
      }
    })
  }
}
