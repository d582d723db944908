import t from 'tap'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { descriptorOf } from '../lib/os/descriptor.ts'
import { handleOf } from '../lib/os/handle.ts'
import { ask, Mailbox, play, transcript } from './helpers/handover-transcript.ts'
import { startProcess } from './helpers/process.ts'
import { answers, rawClient, request, type RawClient } from './helpers/raw-client.ts'

// A real successor, started by a predecessor that is this test, and says what was recorded.
t.setTimeout(300_000)

interface Teardown { teardown (fn: () => unknown): void }

const skip = process.platform === 'linux' ? false : 'descriptors are looked at in /proc'
const peer = new URL('./fixtures/handover-peer.ts', import.meta.url)
const { invitation, lines } = transcript(1)

async function listener (t: Teardown): Promise<Server> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return server
}

/** The service, invited by this process to take over; killed on teardown. */
function successor (t: Teardown, server: Server, changes: object = {}) {
  const heard = new Mailbox<any>()
  const told = new Mailbox<any>()
  const child: ChildProcess = spawn(process.execPath, [...process.execArgv.filter(argument => !argument.includes('@tapjs/mock')), fileURLToPath(peer)], {
    env: { ...process.env, FASTIFY_DRAIN_HANDOVER: JSON.stringify({ ...invitation, predecessor: process.pid, ...changes }) },
    stdio: ['pipe', 'pipe', 'pipe', 'ipc', descriptorOf(server) as number]
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', text => { output += text })
  child.on('message', (message: any) => {
    if ('fastify-drain' in message) heard.put({ message: message['fastify-drain'], descriptor: false })
    else told.put(message)
  })
  const exited = once(child, 'exit')
  exited.then(() => heard.put({ message: `nothing: it has ended\n${output}`, descriptor: false }))
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
  })
  return { child, heard, told, exited, output: () => output }
}

t.test('a successor takes over from a predecessor that says what was recorded', { skip }, async t => {
  const server = await listener(t)
  const sockets: Socket[] = []
  const clients: RawClient[] = []
  for (const name of ['a', 'b', 'c', 'd']) {
    const accepted = once(server, 'connection')
    const client = await rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
    sockets.push((await accepted)[0])
    clients.push(client)
    // It waits in the kernel while the connection is on its way.
    if (name === 'a') client.write(request('/'))
  }
  t.teardown(() => { for (const socket of sockets) socket.destroy() })
  const [a, b, c, d] = clients as [RawClient, RawClient, RawClient, RawClient]
  // In the order in which they were offered then.
  const socketOf = (id: number): Socket => sockets[id - 1] as Socket

  const { child, heard, told, exited } = successor(t, server)
  await play('predecessor', lines, {
    say (message) {
      if (message.type === 'yours') for (const { id } of message.connections) socketOf(id).destroy()
      child.send({ 'fastify-drain': message }, message.type === 'offer' ? handleOf(socketOf(message.id)) as any : undefined)
    },
    heard: () => heard.next(),
    async client (name) {
      if (name !== 'c') return
      socketOf(3).destroy()
      t.notOk(c.sawFin, 'the successor holds a copy of it')
    }
  })
  await c.fin()
  const { isInvited } = await told.next()
  t.equal(isInvited, false, 'the invitation is not in the environment of the app')

  await a.until(/\}$/)
  t.equal(JSON.parse(answers(a.received)[0]!.body).pid, child.pid)
  t.notOk(answers(a.received)[0]?.headers['connection'] === 'close', 'it has brought one request before, and may bring three')
  t.equal((await ask(a)).headers.connection, 'close')
  for (const client of [b, d]) t.equal((await ask(client)).body.pid, child.pid)

  const { own, inherited } = (await ask(b, '/child')).body
  t.ok(own.includes(readlinkSync(`/proc/self/fd/${descriptorOf(server)}`)), 'it has the listener')
  t.same(inherited, [], 'a child of the successor has none of its descriptors')

  // The predecessor has gone.
  child.disconnect()
  t.equal((await ask(d)).body.pid, child.pid)
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
})

t.test('a successor refuses a predecessor of which it understands nothing, and says what it speaks', { skip }, async t => {
  const server = await listener(t)
  const { heard, exited, output } = successor(t, server, { speaks: [2] })
  t.same((await heard.next()).message, { type: 'hello', speaks: [1] })
  t.same(await exited, [1, null])
  t.match(output(), /FST_DRAIN_HANDOVER/)
  t.match(output(), new RegExp(`process ${process.pid} hands over by version 2 of the protocol, and this one takes over by 1; restart the service in the ordinary way once`))
})

t.test('an invitation that cannot be read is a clear error', { skip }, async t => {
  const started = startProcess(t, peer, { env: { FASTIFY_DRAIN_HANDOVER: 'nonsense' } })
  t.match(await started.exited, { code: 1 })
  t.match(started.stderr, /the environment variable FASTIFY_DRAIN_HANDOVER cannot be read/)
})

t.test('a process that has inherited the invitation of another one starts as ever', { skip }, async t => {
  const text = JSON.stringify({ ...invitation, predecessor: process.ppid })
  const started = startProcess(t, peer, { env: { FASTIFY_DRAIN_HANDOVER: text } })
  const { port, isInvited } = await started.message()
  t.equal(isInvited, false)
  t.equal((await ask(await rawClient(t, { host: '127.0.0.1', port }))).body.pid, started.pid)
  started.child.kill('SIGTERM')
  t.match(await started.exited, { code: 0 })
})
