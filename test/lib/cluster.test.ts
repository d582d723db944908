import t from 'tap'
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { replaceWorker } from '../../lib/cluster.ts'
import { deferred, eventually } from '../helpers/app.ts'

cluster.setupPrimary({ exec: fileURLToPath(new URL('../fixtures/cluster-puppet.cjs', import.meta.url)), execArgv: [], args: [] })
// tap's loaders.
delete process.env['NODE_OPTIONS']
t.setTimeout(60_000)

interface Teardown { teardown (fn: () => unknown): void }

const ours = (message: object): object => ({ 'fastify-drain': message })
const toPrimary = (message: object): object => ({ 'fastify-drain.cluster': message })
const listeners = [{ fd: 0, name: '', anyPort: true, at: { address: '127.0.0.1', port: 80 } }]
const start = toPrimary({ type: 'start', listeners, readyTimeout: 200 })

/** What a worker has said; killed on teardown. */
function puppet (t: Teardown, worker: Worker) {
  const said: any[] = []
  worker.on('message', message => said.push(message))
  t.teardown(async () => {
    if (worker.isDead()) return
    worker.process.kill('SIGKILL')
    await once(worker, 'exit')
  })
  return {
    worker,
    pid: worker.process.pid as number,
    do: (order: object) => { worker.send(order) },
    say: (message: object, withSocket?: number) => { worker.send({ say: message, withSocket }) },
    /** Waits for a message of the primary. */
    async heard (content: object): Promise<void> {
      await eventually(() => said.some(({ heard }) => JSON.stringify(heard) === JSON.stringify(content)), `it has heard ${JSON.stringify(content)}: ${JSON.stringify(said)}`)
    },
    async said (fits: (message: any) => boolean): Promise<any> {
      await eventually(() => said.some(fits), 'it has said so')
      return said.find(fits)
    },
    hears: () => said.filter(({ heard }) => heard !== undefined).map(({ heard }) => heard)
  }
}

/** An old worker that has been told to begin. */
async function begun (t: Teardown, options?: Parameters<typeof replaceWorker>[1]) {
  const old = puppet(t, cluster.fork())
  await old.said(({ invitation }) => invitation === null)
  const forked = deferred<ReturnType<typeof puppet>>()
  const onFork = async (worker: Worker): Promise<void> => {
    const successor = puppet(t, worker)
    // With tap's loaders in it a worker would not hear what came before.
    await successor.said(message => 'invitation' in message)
    forked.resolve(successor)
  }
  cluster.once('fork', onFork)
  t.teardown(() => cluster.off('fork', onFork))
  const replaced = replaceWorker(old.worker, options)
  replaced.catch(() => {})
  await old.heard(toPrimary({ type: 'begin' }))
  return { old, replaced, forked: forked.promise }
}

t.test('a worker is started as the old one says, what the two say is passed on, and the old one decides', async t => {
  const { old, replaced, forked } = await begun(t, { env: { COLOUR: 'red' } })
  old.say(start)
  const successor = await forked
  const { invitation, colour } = await successor.said(message => 'invitation' in message)
  t.same(JSON.parse(invitation), { speaks: [1], predecessor: old.pid, listeners })
  t.equal(colour, 'red')
  await old.heard(toPrimary({ type: 'started', pid: successor.pid }))

  successor.say(ours({ type: 'hello', speaks: [1] }))
  await old.heard(ours({ type: 'hello', speaks: [1] }))
  old.say(ours({ type: 'forget', ids: [1] }))
  await successor.heard(ours({ type: 'forget', ids: [1] }))
  old.say({ colour: 'blue' })
  old.say(ours({ type: 'forget', ids: [2] }))
  await successor.heard(ours({ type: 'forget', ids: [2] }))
  t.notOk(successor.hears().some(heard => 'colour' in heard), 'what the app says is not passed on')

  old.say(toPrimary({ type: 'succeeded' }))
  t.equal((await replaced).process.pid, successor.pid)
  t.equal((await replaceWorker(old.worker)).process.pid, successor.pid, 'whoever asks again gets the same')
  successor.say(toPrimary({ type: 'bye' }))
  await old.heard(toPrimary({ type: 'lost' }))
  old.do({ exit: 0 })
  await successor.heard(toPrimary({ type: 'lost' }))
})

t.test('a descriptor is passed on with its message, and the primary keeps no copy', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const { old, forked } = await begun(t)
  old.say(start)
  const successor = await forked
  await old.heard(toPrimary({ type: 'started', pid: successor.pid }))

  const accepted = once(server, 'connection')
  old.say(ours({ type: 'offer', id: 1, listener: 0 }), port)
  const [socket] = await accepted
  await successor.heard(ours({ type: 'offer', id: 1, listener: 0 }))
  t.equal(await text(socket), 'from the new one', 'the FIN comes, so nobody else has it')

  successor.do({ exit: 3 })
  await old.heard(toPrimary({ type: 'ended', how: 'it has ended with code 3' }))
  const again = once(server, 'connection')
  old.say(ours({ type: 'offer', id: 2, listener: 0 }), port)
  const [nobodys] = await again
  t.equal(await text(nobodys), '', 'nor one that nobody takes any more')
})

t.test('the old worker says why there is none, and can be asked again', async t => {
  const { old, replaced, forked } = await begun(t)
  old.say(start)
  const successor = await forked
  await old.heard(toPrimary({ type: 'started', pid: successor.pid }))
  old.say(toPrimary({ type: 'bye' }))
  await successor.heard(toPrimary({ type: 'lost' }))
  old.say(toPrimary({ type: 'end', patience: 60_000, isEnding: false }))
  old.say(toPrimary({ type: 'failed', message: 'it was too late' }))
  await t.rejects(replaced, { code: 'FST_DRAIN_HANDOVER', message: 'it was too late' })
  await eventually(() => successor.worker.isDead(), 'the new one has ended')
  await sleep(50)
  t.notOk(old.hears().some(heard => JSON.stringify(heard).includes('ended')), 'which is nobody\'s business any more')

  const again = replaceWorker(old.worker)
  await eventually(() => old.hears().filter(heard => JSON.stringify(heard).includes('begin')).length === 2, 'it is asked again')
  old.say(toPrimary({ type: 'failed', message: 'not now' }))
  await t.rejects(again, { message: 'not now' })
})

t.test('a new worker that does not end when it is told to is killed', async t => {
  const { old, forked } = await begun(t)
  old.say(start)
  const successor = await forked
  successor.do({ stay: true })
  await successor.said(({ stays }) => stays)
  old.say(toPrimary({ type: 'end', patience: 100, isEnding: false }))
  await old.heard(toPrimary({ type: 'ended', how: 'it was ended by SIGKILL' }))
  old.say(toPrimary({ type: 'end', patience: 100, isEnding: false }))
  old.say(toPrimary({ type: 'bye' }))
  old.say({ still: 'there' })
  await old.said(({ still }) => still === 'there')
})

t.test('a new worker that ends by itself gets no signal', async t => {
  const { old, forked } = await begun(t)
  old.say(start)
  const successor = await forked
  old.say(toPrimary({ type: 'end', patience: 60_000, isEnding: true }))
  await sleep(200)
  successor.do({ exit: 6 })
  await old.heard(toPrimary({ type: 'ended', how: 'it has ended with code 6' }))
})

t.test('the old worker ends before it has said anything', async t => {
  const { old, replaced } = await begun(t)
  old.do({ exit: 0 })
  await t.rejects(replaced, { code: 'FST_DRAIN_HANDOVER', message: `fastify-drain: no handover: worker ${old.pid} has ended; fork another one` })
  await t.rejects(replaceWorker(old.worker), { message: `fastify-drain: no handover: worker ${old.pid} has ended; fork another one` })
})

t.test('the old worker ends, and the new one listens before or after that', async t => {
  for (const isFirst of [true, false]) {
    const { old, replaced, forked } = await begun(t)
    old.say(toPrimary({ type: 'start', listeners, readyTimeout: 60_000 }))
    const { worker, do: order, pid } = await forked
    const listening = once(worker, 'listening')
    if (isFirst) {
      order({ listen: true })
      await listening
    }
    old.do({ exit: 1 })
    await once(old.worker, 'disconnect')
    if (!isFirst) order({ listen: true })
    t.equal((await replaced).process.pid, pid)
  }
})

t.test('the old worker is killed while a descriptor is on its way to it', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { old, replaced, forked } = await begun(t)
  old.say(toPrimary({ type: 'start', listeners, readyTimeout: 60_000 }))
  const successor = await forked
  const listening = once(successor.worker, 'listening')
  successor.do({ listen: true })
  await listening
  old.worker.process.kill('SIGSTOP')
  const accepted = once(server, 'connection')
  successor.say(ours({ type: 'have', id: 1 }), (server.address() as AddressInfo).port)
  const [socket] = await accepted
  socket.on('error', () => {})
  await sleep(100)
  let isDisconnected = false
  old.worker.once('disconnect', () => { isDisconnected = true })
  old.worker.process.kill('SIGKILL')
  t.equal((await replaced).process.pid, successor.pid)
  t.comment(isDisconnected ? 'this Node says so' : 'Node does not say so')
  await successor.heard(toPrimary({ type: 'lost' }))
})

t.test('the old worker ends, and the new one does as well, or never listens', async t => {
  for (const [readyTimeout, order, message] of [
    [60_000, { exit: 7 }, 'it has ended with code 7'],
    [50, { stay: true }, /it was ended by SIG(KILL|TERM)/]
  ] as const) {
    const { old, replaced, forked } = await begun(t)
    old.say(toPrimary({ type: 'start', listeners, readyTimeout }))
    const successor = await forked
    old.do({ exit: 1 })
    await once(old.worker, 'disconnect')
    successor.do(order)
    await t.rejects(replaced, { code: 'FST_DRAIN_HANDOVER', message })
  }
})

t.test('a worker that does not know the plugin does not answer', async t => {
  const { old, replaced } = await begun(t)
  await t.rejects(replaced, {
    code: 'FST_DRAIN_HANDOVER',
    message: `fastify-drain: no handover: worker ${old.pid} does not answer; register the plugin in it with { handover: true }, and try again when it listens`
  })
})

t.test('only the primary replaces workers', async t => {
  const { old } = await begun(t)
  const mutable = cluster as { isPrimary: boolean }
  t.teardown(() => { mutable.isPrimary = true })
  mutable.isPrimary = false
  await t.rejects(replaceWorker(old.worker), {
    code: 'FST_DRAIN_HANDOVER',
    message: 'fastify-drain: no handover: this is not the primary of a cluster; call replaceWorker() where the workers are forked'
  })
})
