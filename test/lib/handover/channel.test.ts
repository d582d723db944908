import t from 'tap'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Channel } from '../../../lib/handover/channel.ts'
import { handleOf } from '../../../lib/os/handle.ts'
import { startProcess, type StartedProcess } from '../../helpers/process.ts'
import { socketPair } from '../../helpers/socket-pair.ts'

const fixture = new URL('../../fixtures/handover-channel.ts', import.meta.url)

interface Teardown { teardown (fn: () => unknown): void }

/** A channel to another process that says back what it hears. */
async function echo (t: Teardown) {
  const other: StartedProcess = startProcess(t, fixture, { args: ['echo'] })
  const channel = new Channel<object, object>(other.child)
  const heard: object[] = []
  let losses = 0
  const lost = new Promise<void>(resolve => {
    channel.listen(message => { heard.push(message) }, () => { losses++; resolve() })
  })
  await other.message(({ mine }) => mine === 'ready')
  // Node tells no 'close' of a process whose channel we have closed: the helper waits a while for it, and nothing else does.
  const waiting = setTimeout(() => {}, 60_000)
  other.exited.then(() => clearTimeout(waiting))
  return { other, channel, heard, lost, losses: () => losses }
}

t.test('two processes hear each other, and not the application', async t => {
  const { other, channel, heard } = await echo(t)
  other.child.send({ mine: 'something' })
  other.child.send('something')
  channel.send({ type: 'first' })
  channel.send({ type: 'second' })
  await other.message(message => message['fastify-drain']?.message.type === 'second')
  t.same(heard, [{ type: 'echo', message: { type: 'first' } }, { type: 'echo', message: { type: 'second' } }])
  channel.close()
  t.match(await other.exited, { code: 0 })
})

t.test('a handle is passed as a copy: both processes can write to the connection', async t => {
  const { other, channel } = await echo(t)
  const { socket, client } = await socketPair(t)
  channel.send({ type: 'here' }, handleOf(socket) as object)
  await client.until(/^from the other process$/)
  t.notOk(socket.destroyed)
  socket.write(', and from this one')
  await client.until(/^from the other process, and from this one$/)
  channel.close()
  await other.exited
  t.notOk(client.sawFin, 'our copy is still open')
  socket.destroy()
  await client.fin()
})

t.test('the end of the other process is the end of the channel', async t => {
  const { other, channel, lost, losses } = await echo(t)
  other.child.kill('SIGKILL')
  await Promise.all([lost, other.exited])
  channel.send({ type: 'too late' })
  channel.close()
  t.equal(losses(), 1)
})

t.test('the other process can close the channel, and both live on', async t => {
  const { channel, heard, lost } = await echo(t)
  channel.send({ type: 'close' })
  await lost
  t.same(heard, [{ type: 'echo', message: { type: 'close' } }])
})

t.test('whoever has closed a channel hears nothing more', async t => {
  const { other, channel, heard, lost, losses } = await echo(t)
  channel.send({ type: 'echo' })
  await other.message(message => 'fastify-drain' in message)
  channel.close()
  channel.close()
  channel.send({ type: 'echo' })
  await lost
  t.match(await other.exited, { code: 0 })
  t.equal(heard.length, 1)
  t.equal(losses(), 1)
})

t.test('a script that comes to its end is not kept by the channel', async t => {
  const { exited } = startProcess(t, fixture, { args: ['idle'] })
  t.match(await exited, { code: 0, signal: null })
})

t.test('what was read before the channel is closed is dropped', async t => {
  const child = fork(new URL('../../fixtures/handover-many-messages.cjs', import.meta.url))
  t.teardown(() => child.kill('SIGKILL'))
  const channel = new Channel<{ n: number }, object>(child)
  const heard: number[] = []
  channel.listen(({ n }) => {
    heard.push(n)
    channel.close()
  }, () => {})
  // Unreferenced as it is, it would not keep this process.
  const waiting = setInterval(() => {}, 1000)
  await once(child, 'exit')
  clearInterval(waiting)
  t.same(heard, [1])
})

t.test('a channel that had ended before anybody listened is told to be lost, a turn later', async t => {
  const { other, channel, lost } = await echo(t)
  other.child.kill('SIGKILL')
  await Promise.all([lost, other.exited])
  t.notOk(channel.isOpen)
  let isLost = false
  const late = new Promise<void>(resolve => new Channel(other.child).listen(() => {}, () => { isLost = true; resolve() }))
  t.notOk(isLost)
  await late
})
