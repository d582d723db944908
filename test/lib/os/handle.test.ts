import t from 'tap'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type ServerOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { abandon, connect, divertAccepted, handleOf, type Handle } from '../../../lib/os/handle.ts'
import { eventually } from '../../helpers/app.ts'
import { rawClient, type RawClient } from '../../helpers/raw-client.ts'
import { socketPair } from '../../helpers/socket-pair.ts'

interface Teardown { teardown (fn: () => unknown): void }

async function listening (t: Teardown, options: ServerOpts = {}, at: object = { port: 0, host: '127.0.0.1' }): Promise<Server> {
  const server = createServer(options)
  await once(server.listen(at), 'listening')
  t.teardown(() => { server.close() })
  return server
}

const clientOf = (t: Teardown, server: Server): Promise<RawClient> => rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })

t.test('sockets and listeners have a handle as long as they are open', async t => {
  const { socket } = await socketPair(t)
  const server = await listening(t)
  t.type(handleOf(socket)?.close, 'function')
  t.type(handleOf(server)?.close, 'function')
  socket.destroy()
  server.close()
  t.same([handleOf(socket), handleOf(server), handleOf(createServer())], [null, null, null])
})

t.test('whoever is accepted can be diverted, unread, and accepted all the same', async t => {
  const server = await listening(t)
  const sockets: Socket[] = []
  server.on('connection', socket => { sockets.push(socket) })
  const taken: Array<{ client: Handle, accept: () => void }> = []
  const stop = divertAccepted(server, (client, accept) => { taken.push({ client, accept }) })

  const [first, second] = [await clientOf(t, server), await clientOf(t, server)]
  first.write('hello')
  await eventually(() => taken.length === 2, 'both were taken')
  t.equal(sockets.length, 0)
  taken[0]!.accept()
  t.equal(sockets.length, 1)
  t.equal(String((await once(sockets[0]!, 'data'))[0]), 'hello', 'nobody had read it')
  taken[1]!.client.close()
  await second.fin()

  stop()
  const [accepted] = await Promise.all([once(server, 'connection'), clientOf(t, server)])
  t.equal(taken.length, 2)
  for (const socket of [...sockets, ...accepted]) socket.destroy()
})

t.test('an accept that fails is left to Node', async t => {
  const server = await listening(t)
  const taken: Handle[] = []
  divertAccepted(server, client => { taken.push(client) })
  const failed = once(server, 'error')
  // As libuv says that there is no descriptor left.
  ;(handleOf(server) as unknown as { onconnection (status: number, client: undefined): void }).onconnection(-24, undefined)
  t.match(await failed, [{ code: 'EMFILE', syscall: 'accept' }])
  t.same(taken, [])
  t.ok(server.listening)
})

t.test('a listener that is closed diverts nobody', async t => {
  const server = await listening(t)
  server.close()
  const stop = divertAccepted(server, () => { throw new Error('nobody comes') })
  stop()
})

t.test('a server can be given a connection that somebody else has accepted', async t => {
  const [front, server] = [await listening(t), await listening(t)]
  divertAccepted(front, client => connect(server, client))
  server.on('connection', (socket: Socket) => {
    socket.setEncoding('utf8').on('data', text => socket.end(`${socket.remoteAddress} said ${text}`))
  })
  const client = await clientOf(t, front)
  client.write('hello')
  await client.until(/^127\.0\.0\.1 said hello$/)
  await client.fin()
})

for (const allowHalfOpen of [false, true]) {
  t.test(`what it says of half-open connections counts: allowHalfOpen is ${allowHalfOpen}`, async t => {
    const [front, server] = [await listening(t, { allowHalfOpen: !allowHalfOpen }), await listening(t, { allowHalfOpen })]
    divertAccepted(front, client => connect(server, client))
    const [[socket], client] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, clientOf(t, front)])
    t.equal(socket.allowHalfOpen, allowHalfOpen)
    socket.resume()
    client.halfClose()
    await once(socket, 'end')
    t.equal(socket.writable, allowHalfOpen)
    socket.destroy()
  })
}

t.test('with pauseOnConnect nothing is read before somebody resumes it', async t => {
  const [front, server] = [await listening(t), await listening(t, { pauseOnConnect: true })]
  divertAccepted(front, client => connect(server, client))
  const [[socket], client] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, clientOf(t, front)])
  t.ok(socket.isPaused())
  client.write('hello')
  await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
  t.equal(socket.bytesRead, 0)
  socket.resume()
  t.equal(String((await once(socket, 'data'))[0]), 'hello')
  socket.destroy()
})

t.test('a Unix socket that is abandoned keeps its file, for whoever else listens', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'socket')
  const server = await listening(t, {}, { path })
  const closed = once(server, 'close')
  abandon(server)
  await closed
  t.notOk(server.listening)
  t.ok(existsSync(path))
  abandon(server)
  await rawClient(t, { path })
})
