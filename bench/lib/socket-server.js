// A server of sockets without HTTP, which closes them all on SIGTERM in a loop of its own: what so many closes cost at least.
// It inherits the listening socket as descriptor 3 and takes its orders over IPC.
import net from 'node:net'

import { logLoop } from './loop-log.js'
import { answerOrders } from './orders.js'

const [how, perTurn] = process.argv.slice(2)
const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"id":"1"}'
const sockets = new Set()

const server = net.createServer(socket => {
  sockets.add(socket)
  socket.on('data', () => socket.write(answer))
  socket.on('error', () => {})
  socket.on('close', () => sockets.delete(socket))
})

answerOrders({
  async load () {},
  listen: () => new Promise(resolve => server.listen({ fd: 3 }, resolve)),
  log: file => logLoop(server, file)
})
process.channel.unref()

process.once('SIGTERM', () => {
  server.close(() => process.exit(0))
  closeSome([...sockets])
})

function closeSome (rest) {
  const next = rest.splice(perTurn === 'all' ? 0 : -Number(perTurn))
  for (const socket of next) socket[how]()
  if (rest.length > 0) setImmediate(closeSome, rest)
}
