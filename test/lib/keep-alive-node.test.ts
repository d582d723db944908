import t from 'tap'
import { once } from 'node:events'
import { createServer, Socket } from 'node:net'
import { socketPair } from '../helpers/socket-pair.ts'

// What Node 24.21 and later do, on every line.
const calls: unknown[][] = []
const { setKeepAlive } = Socket.prototype
Socket.prototype.setKeepAlive = function (this: Socket, ...args: unknown[]) {
  calls.push(args)
  return this
} as typeof setKeepAlive
Object.defineProperty(Socket.prototype.setKeepAlive, 'length', { value: 4 })
t.teardown(() => { Socket.prototype.setKeepAlive = setKeepAlive })

const { keepAlive, missingKeepAlive } = await import('../../lib/keep-alive.ts')
const { Sockets } = await import('../../lib/os/sockets.ts')

const options = { idle: 42_000, interval: 7000, count: 5 }

t.test('a Node that can set the interval and the count is given both, in the form that keeps them', async t => {
  const { socket } = await socketPair(t)
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  keepAlive(server, options, new Sockets(null), error => t.fail(String(error)))
  server.emit('connection', socket)
  t.strictSame(calls, [[{ enable: true, initialDelay: 42_000, interval: 7000, count: 5 }]])
})

t.test('there only userTimeout is missing without system calls', async t => {
  t.same(missingKeepAlive(options, null), [])
  t.same(missingKeepAlive({ ...options, userTimeout: 1000 }, null), ['TCP_USER_TIMEOUT'])
})
