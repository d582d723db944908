import t from 'tap'
import { EventEmitter } from 'node:events'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { predecessorOf } from '../../../lib/handover/predecessor.ts'
import type { Luggage } from '../../../lib/connection.ts'
import { envelope, variable, type Order, type Reply } from '../../../lib/handover/protocol.ts'
import type { Inherited } from '../../../lib/listen/inherited.ts'
import type { Handle } from '../../../lib/os/handle.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'

const invitation = { speaks: [1], predecessor: 100, listeners: [{ fd: 4, name: '', anyPort: false }, { fd: 5, name: 'admin', anyPort: false }] }

/** A process with a channel to its parent, and the parent's side of it. */
class Host extends EventEmitter {
  readonly env: Record<string, string>
  readonly ppid: number
  connected = true
  readonly said: Reply[] = []
  readonly pid = 7
  readonly signals: unknown[] = []

  constructor (text: string | null = JSON.stringify(invitation), ppid = 100) {
    super()
    this.env = { PATH: '/bin', ...(text === null ? {} : { [variable]: text }) }
    this.ppid = ppid
  }

  send (message: { [envelope]: Reply }): void {
    this.said.push(message[envelope])
  }

  disconnect (): void {
    this.connected = false
    process.nextTick(() => this.emit('disconnect'))
  }

  kill (...signal: unknown[]): void {
    this.signals.push(signal)
  }

  hear (order: Order, handle?: Handle): void {
    this.emit('message', { [envelope]: order }, handle)
  }
}

const asProcess = (host: object): NodeJS.Process => host as NodeJS.Process

function handle (): Handle & { closed: number } {
  return { closed: 0, close () { this.closed++ } }
}

function setUp () {
  const host = new Host()
  const predecessor = predecessorOf(asProcess(host))
  if (predecessor === null) throw new Error('there is none')
  return { host, predecessor }
}

/** A listener, and what it was given. */
function listener (fd: number, { isPassed = true, taken = true } = {}): Inherited & { received: Array<[Handle, Luggage]> } {
  const received: Array<[Handle, Luggage]> = []
  return {
    fd, name: '', at: { address: '127.0.0.1', port: 80 }, isPassed, taken, received, receive: (handle, luggage) => { received.push([handle, luggage]) }
  }
}

const luggage = { age: 1000, requests: 2, isFresh: false }

/** A descriptor that somebody has to close. */
const descriptor = (): number => openSync('/dev/null', 'r')

const isOpen = (fd: number): boolean => {
  try {
    return fstatSync(fd) !== undefined
  } catch {
    return false
  }
}

t.test('a process that nobody has invited has no predecessor', async t => {
  const host = new Host(null)
  t.equal(predecessorOf(asProcess(host)), null)
  t.equal(host.listenerCount('message'), 0)
})

t.test('the invitation is taken out of the environment, and read', async t => {
  const { host, predecessor } = setUp()
  t.same(host.env, { PATH: '/bin' })
  t.equal(predecessor.pid, 100)
  t.strictSame(predecessor.listeners, invitation.listeners)
  t.same(host.said, [], 'the first word comes with greet()')
  predecessor.greet()
  t.same(host.said, [{ type: 'hello', speaks: [1] }])
})

t.test('an invitation that somebody else was given is taken out of the environment, and ignored', async t => {
  const host = new Host(undefined, 101)
  t.equal(predecessorOf(asProcess(host)), null)
  t.same(host.env, { PATH: '/bin' })
  t.equal(host.listenerCount('message'), 0)
})

t.test('an invitation without a channel is ignored', async t => {
  const host = new Host()
  t.equal(predecessorOf(asProcess({ env: host.env, ppid: 100 })), null)
  t.same(host.env, { PATH: '/bin' })
})

t.test('a predecessor is alive as long as it is the parent', async t => {
  const { host, predecessor } = setUp()
  t.ok(predecessor.isAlive)
  Object.assign(host, { ppid: 1 })
  t.notOk(predecessor.isAlive)
})

t.test('an invitation that cannot be read is refused, once', async t => {
  const host = new Host('{ "speaks": [1] }')
  t.throws(() => predecessorOf(asProcess(host)), {
    code: 'FST_DRAIN_HANDOVER',
    message: 'fastify-drain: no handover: the environment variable FASTIFY_DRAIN_HANDOVER cannot be read (members are missing); leave it to the process that hands over'
  })
  t.same(host.env, { PATH: '/bin' })
  t.equal(predecessorOf(asProcess(host)), null)
})

t.test('a predecessor that speaks nothing we understand is told what we speak, and refused', async t => {
  const host = new Host(JSON.stringify({ ...invitation, speaks: [2, 3] }))
  const predecessor = predecessorOf(asProcess(host))
  t.throws(() => predecessor?.greet(), {
    code: 'FST_DRAIN_HANDOVER',
    message: 'fastify-drain: no handover: process 100 hands over by version 2, 3 of the protocol, and this one takes over by 1; restart the service in the ordinary way once'
  })
  t.same(host.said, [{ type: 'hello', speaks: [1] }])
})

t.test('one that is newer and speaks our version, too, is understood', async t => {
  const host = new Host(JSON.stringify({ ...invitation, speaks: [1, 2] }))
  predecessorOf(asProcess(host))?.greet()
  t.same(host.said, [{ type: 'hello', speaks: [1] }])
})

t.test('when this process is ready it says on what it listens, and closes what nobody has asked for', async t => {
  const { host, predecessor } = setUp()
  const [unused, own] = [descriptor(), descriptor()]
  t.teardown(() => { if (isOpen(own)) closeSync(own) })
  const inherited = [listener(4), listener(unused, { taken: false }), listener(own, { isPassed: false, taken: false }), listener(9, { isPassed: false })]
  predecessor.ready(inherited)
  t.same(host.said, [{ type: 'ready', listeners: [4] }])
  t.notOk(isOpen(unused))
  t.ok(inherited[1]!.taken, 'nobody can ask for it any more')
  t.ok(isOpen(own), 'what the service manager has passed is not ours to close')
})

t.test('a connection comes as a copy that nobody touches, and then belongs to the app that has its listener', async t => {
  const { host, predecessor } = setUp()
  const [web, admin] = [listener(4), listener(5)]
  predecessor.ready([web, admin])
  const [first, second] = [handle(), handle()]
  host.hear({ type: 'offer', id: 1, listener: 4 }, first)
  host.hear({ type: 'offer', id: 2, listener: 5 }, second)
  t.same(host.said.splice(0), [{ type: 'ready', listeners: [4, 5] }, { type: 'have', id: 1 }, { type: 'have', id: 2 }])
  t.same([web.received, admin.received], [[], []])

  host.hear({ type: 'yours', connections: [{ id: 2, ...luggage }, { id: 1, age: 0, requests: 0, isFresh: true }] })
  t.same(host.said, [{ type: 'took', ids: [2, 1] }])
  t.equal(web.received[0]?.[0], first)
  t.equal(admin.received[0]?.[0], second)
  t.strictSame([web.received[0]?.[1], admin.received[0]?.[1]], [{ age: 0, requests: 0, isFresh: true }, luggage])

  host.hear({ type: 'yours', connections: [{ id: 1, ...luggage }] })
  t.equal(web.received.length, 1, 'it is taken once')
  t.same([first.closed, second.closed], [0, 0])
})

t.test('a connection that is taken is said to be when it is served', async t => {
  const { host, predecessor } = setUp()
  const web = listener(4)
  let saidBefore = -1
  web.receive = () => { saidBefore = host.said.length }
  predecessor.ready([web])
  host.hear({ type: 'offer', id: 1, listener: 4 }, handle())
  host.hear({ type: 'yours', connections: [{ id: 1, ...luggage }] })
  t.equal(saidBefore, 2, 'ready and have')
})

t.test('a connection that has closed meanwhile is closed here as well', async t => {
  const { host, predecessor } = setUp()
  const web = listener(4)
  predecessor.ready([web])
  const copy = handle()
  host.hear({ type: 'offer', id: 1, listener: 4 }, copy)
  host.hear({ type: 'forget', ids: [1, 2] })
  t.equal(copy.closed, 1)
  host.hear({ type: 'forget', ids: [1] })
  host.hear({ type: 'yours', connections: [{ id: 1, ...luggage }] })
  t.equal(copy.closed, 1)
  t.same(web.received, [])
})

t.test('an offer whose descriptor was closed before it went off is not answered', async t => {
  const { host, predecessor } = setUp()
  predecessor.ready([listener(4)])
  host.hear({ type: 'offer', id: 1, listener: 4 })
  host.hear({ type: 'forget', ids: [1] })
  t.same(host.said, [{ type: 'ready', listeners: [4] }])
})

t.test('a connection to a listener that nobody has is closed, so that its peer does not wait', async t => {
  const { host, predecessor } = setUp()
  predecessor.ready([listener(4)])
  const copy = handle()
  host.hear({ type: 'offer', id: 1, listener: 7 }, copy)
  host.hear({ type: 'yours', connections: [{ id: 1, ...luggage }] })
  t.equal(copy.closed, 1)
  t.same(host.said.slice(-1), [{ type: 'took', ids: [1] }])
})

t.test('what a newer predecessor says beside what we understand is left alone', async t => {
  const { host, predecessor } = setUp()
  predecessor.ready([listener(4)])
  host.hear({ type: 'sing' } as unknown as Order)
  t.equal(host.said.length, 1)
})

for (const [how, end] of [
  ['the predecessor closes the channel, or dies', host => { host.connected = false; host.emit('disconnect') }],
  ['this process will not be ready', (_host, predecessor) => predecessor.refuse()]
] as Array<[string, (host: Host, predecessor: NonNullable<ReturnType<typeof predecessorOf>>) => void]>) {
  t.test(`when ${how} the copies that were not given to us are closed, and nothing more is heard`, async t => {
    const { host, predecessor } = setUp()
    const web = listener(4)
    predecessor.ready([web])
    const [held, taken] = [handle(), handle()]
    host.hear({ type: 'offer', id: 1, listener: 4 }, held)
    host.hear({ type: 'offer', id: 2, listener: 4 }, taken)
    host.hear({ type: 'yours', connections: [{ id: 2, ...luggage }] })
    let done = false
    predecessor.done.then(() => { done = true })
    await new Promise(resolve => setImmediate(resolve))
    t.notOk(done)

    const said = host.said.length
    end(host, predecessor)
    await predecessor.done
    await new Promise(resolve => setImmediate(resolve))
    t.same([held.closed, taken.closed], [1, 0])
    t.notOk(host.connected)
    host.hear({ type: 'yours', connections: [{ id: 1, ...luggage }] })
    t.equal(web.received.length, 1)
    t.equal(host.said.length, said)
  })
}

t.test('a worker of a cluster believes an invitation without descriptors, and closes nothing but its own end', async t => {
  const at = { address: '127.0.0.1', port: 80 }
  const text = JSON.stringify({ ...invitation, listeners: [{ fd: 0, name: '', anyPort: false, at }, { fd: 1, name: '', anyPort: false, at: { path: '/run/app' } }] })
  t.equal(predecessorOf(asProcess(new Host(text, 1))), null, 'nobody else does')
  const host = new Host(text, 1)
  const predecessor = predecessorOf(asProcess(host), true)!
  t.notOk(predecessor.isAlive, 'it has the listener from the primary, whoever else is there')
  const taken = { ...listener(0), ofPrimary: true }
  const unused = { ...listener(1, { taken: false }), ofPrimary: true }
  predecessor.ready([taken, unused])
  t.same(host.said, [{ type: 'ready', listeners: [0] }])
  t.ok(unused.taken)
  t.ok(isOpen(1), 'the number is none of a descriptor')
  predecessor.refuse()
  t.ok(host.connected)
  await predecessor.done
})

t.test('in a worker, too, an invitation with descriptors is for a child', async t => {
  t.equal(predecessorOf(asProcess(new Host(JSON.stringify(invitation), 1)), true), null)
})

t.test('whoever closes before it is ready has nothing to wait for', async t => {
  const { host, predecessor } = setUp()
  await predecessor.leave(new FakeClock())
  t.same(host.said, [])
  t.notOk(host.connected)
})

t.test('whoever closes serves what it was given, until the predecessor has let go', async t => {
  const { host, predecessor } = setUp()
  const web = listener(4)
  predecessor.ready([web])
  const [given, kept] = [handle(), handle()]
  host.hear({ type: 'offer', id: 1, listener: 4 }, given)
  host.hear({ type: 'offer', id: 2, listener: 4 }, kept)
  const clock = new FakeClock()
  let isOver = false
  const left = predecessor.leave(clock).then(() => { isOver = true })
  t.same(host.said.at(-1), { type: 'leaving' })
  t.ok(host.connected)
  host.hear({ type: 'yours', connections: [{ id: 1, ...luggage }] })
  t.same(web.received, [[given, luggage]])
  t.notOk(isOver)
  host.disconnect()
  await left
  t.same([given.closed, kept.closed], [0, 1])
  t.equal(clock.timers, 0)
})

t.test('a predecessor that does not let go is not waited for', async t => {
  const { host, predecessor } = setUp()
  predecessor.ready([listener(4)])
  const held = handle()
  host.hear({ type: 'offer', id: 1, listener: 4 }, held)
  const clock = new FakeClock()
  const left = predecessor.leave(clock)
  clock.advance(2000)
  await left
  t.equal(held.closed, 1)
  t.notOk(host.connected)
})

t.test('the service stops: this process closes as by SIGTERM, unless it does already', async t => {
  const { host, predecessor } = setUp()
  host.hear({ type: 'close' })
  t.same(host.signals, [[7, 'SIGTERM']])
  predecessor.leave(new FakeClock())
  host.hear({ type: 'close' })
  t.equal(host.signals.length, 1)
})
