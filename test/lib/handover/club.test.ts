import t from 'tap'
import { EventEmitter, once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { handoverProcess, type Newcomer } from '../../../lib/handover/club.ts'
import type { Member } from '../../../lib/handover/handover.ts'
import { envelope, variable } from '../../../lib/handover/protocol.ts'
import type { Inherited } from '../../../lib/listen/inherited.ts'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { deferred, eventually } from '../../helpers/app.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** This process, as one that was started by another one, or not. */
function hostOf (isSuccessor: boolean) {
  const said: any[] = []
  const text = JSON.stringify({ speaks: [1], predecessor: 100, listeners: [] })
  const host = Object.assign(new EventEmitter(), {
    env: isSuccessor ? { [variable]: text } : {},
    ppid: 100,
    connected: true,
    send: (message: any) => { said.push(message[envelope] ?? message) },
    disconnect () {
      host.connected = false
      process.nextTick(() => host.emit('disconnect'))
    }
  })
  return { host: host as unknown as NodeJS.Process & EventEmitter, said }
}

function setUp ({ isSuccessor = false, execPath = '/does/not/exist' } = {}) {
  const { host, said } = hostOf(isSuccessor)
  const clock = new FakeClock()
  const startedAs = { execPath, args: [], cwd: process.cwd(), env: {} }
  const join = () => handoverProcess(host, clock, startedAs)
  return { host, said, clock, join, ours: join() }
}

function member ({ signal = false as Member['signal'], servers = [] as Server[], isClosing = false } = {}) {
  const happened: string[] = []
  const logged: string[] = []
  const silent = (): void => {}
  const one: Member = {
    log: { debug: silent, info: silent, warn: silent, error: (_fields, message) => { logged.push(message) } },
    signal,
    readyTimeout: 30_000,
    closing: isClosing ? AbortSignal.abort() : new AbortController().signal,
    passed: () => new Map(servers.map(server => [server, { fd: descriptorOf(server) as number, name: '', anyPort: true }])),
    begun: () => { happened.push('begun') },
    depart: () => () => {},
    succeeded: () => { happened.push('succeeded') },
    failed: () => { happened.push('failed') }
  }
  return { member: one, happened, logged }
}

async function listening (t: Teardown): Promise<Server> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return server
}

const passed = (fd: number, taken: boolean): Inherited => ({ fd, name: '', at: { address: '127.0.0.1', port: 80 }, isPassed: true, taken })

function newcomer (ready: Newcomer['ready'] = async () => {}): Newcomer & { errors: unknown[] } {
  const errors: unknown[] = []
  return { ready, errors, failed: error => { errors.push(error) } }
}

const soon = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

t.test('the apps of a process, and the copies of this package, meet at one place', async t => {
  const { host, ours, join, said } = setUp({ isSuccessor: true })
  t.ok(Symbol.for('fastify-drain.handover.v1') in host)
  t.equal(join().predecessor, ours.predecessor)
  t.equal(ours.predecessor?.pid, 100)
  t.same(said, [{ type: 'hello', speaks: [1] }], 'it is said once')
})

t.test('a process that is no successor tells nobody that it listens', async t => {
  const { ours, clock, said } = setUp()
  t.equal(ours.predecessor, null)
  ours.listening(newcomer(), [])
  t.equal(clock.timers, 0)
  t.same(said, [])
})

t.test('a successor is ready at once when all that was passed is taken', async t => {
  const { ours, clock, said } = setUp({ isSuccessor: true })
  said.splice(0)
  ours.listening(newcomer(), [passed(4, true), passed(5, true), { ...passed(3, false), isPassed: false }])
  clock.advance(0)
  await soon()
  t.same(said, [{ type: 'ready', listeners: [4, 5] }])
})

t.test('a successor waits a second for other apps that may want the rest', async t => {
  const { ours, join, clock, said } = setUp({ isSuccessor: true })
  said.splice(0)
  const inherited = [passed(4, true), passed(2 ** 31 - 2, false)]
  ours.listening(newcomer(), inherited)
  clock.advance(900)
  inherited.push(passed(6, true))
  join().listening(newcomer(), inherited)
  clock.advance(999)
  await soon()
  t.same(said, [])
  inherited[1]!.taken = true
  clock.advance(1)
  await soon()
  t.same(said, [{ type: 'ready', listeners: [4, 2 ** 31 - 2, 6] }])
  t.equal(clock.timers, 0)
})

t.test('a successor is ready when each of its apps is', async t => {
  const { ours, clock, said } = setUp({ isSuccessor: true })
  said.splice(0)
  const [first, second] = [deferred(), deferred()]
  ours.listening(newcomer(() => first.promise), [])
  ours.listening(newcomer(() => second.promise), [])
  clock.advance(0)
  second.resolve()
  await soon()
  t.same(said, [])
  first.resolve()
  await soon()
  t.same(said, [{ type: 'ready', listeners: [] }])
})

t.test('a successor of which one app does not get ready is none', async t => {
  const { host, ours, clock, said } = setUp({ isSuccessor: true })
  said.splice(0)
  const error = new Error('no database')
  const [good, bad] = [newcomer(), newcomer(() => { throw error })]
  ours.listening(good, [])
  ours.listening(bad, [])
  clock.advance(0)
  await ours.predecessor?.done
  t.same(said, [])
  t.notOk(host.connected)
  t.same([good.errors, bad.errors], [[], [error]])
})

t.test('every caller gets the same promise, until it is over', async t => {
  const { ours, join } = setUp()
  const { member: one, happened, logged } = member({ servers: [await listening(t)] })
  ours.join(one)
  const [first, second] = [ours.handOver(), join().handOver()]
  t.equal(first, second)
  await t.rejects(first, { code: 'FST_DRAIN_HANDOVER', message: /cannot be started/ })
  t.same(happened, ['begun', 'failed'])
  t.same(logged, ['handover: it has failed'])
  const third = ours.handOver()
  t.not(third, first)
  await t.rejects(third, { code: 'FST_DRAIN_HANDOVER' })
  t.same(happened, ['begun', 'failed', 'begun', 'failed'])
})

t.test('of several apps the first one logs, and those that close or have left take no part', async t => {
  const { ours } = setUp()
  const servers = [await listening(t)]
  const [first, closing, left] = [member({ servers }), member({ servers, isClosing: true }), member({ servers })]
  ours.join(first.member)
  ours.join(closing.member)
  ours.join(left.member)()
  await t.rejects(ours.handOver())
  t.same([first.happened, closing.happened, left.happened], [['begun', 'failed'], [], []])
  t.same([first.logged.length, closing.logged.length, left.logged.length], [1, 0, 0])
})

t.test('when nobody takes part any more it is an error, which nobody logs', async t => {
  const { ours } = setUp()
  await t.rejects(ours.handOver(), { message: /this process is closing/ })
})

t.test('whoever is a successor itself hands over when it has been given everything', async t => {
  const { host, ours } = setUp({ isSuccessor: true })
  const { member: one, happened } = member({ servers: [await listening(t)] })
  ours.join(one)
  const running = ours.handOver()
  await soon()
  t.same(happened, [])
  host.connected = false
  host.emit('disconnect')
  await t.rejects(running, { message: /cannot be started/ })
  t.same(happened, ['begun', 'failed'])
})

t.test('a signal begins a handover, as long as an app is there that has it', async t => {
  const { ours } = setUp()
  const before = process.listenerCount('SIGUSR2')
  const servers = [await listening(t)]
  const [first, second, without] = [member({ signal: 'SIGUSR2', servers }), member({ signal: 'SIGUSR2' }), member()]
  const leaves = [first, second, without].map(({ member }) => ours.join(member))
  t.equal(process.listenerCount('SIGUSR2'), before + 1, 'one for all')
  process.kill(process.pid, 'SIGUSR2')
  await eventually(() => first.happened.includes('failed'), 'it has begun, and failed')
  t.same(first.logged, ['handover: it has failed'])
  leaves[0]?.()
  t.equal(process.listenerCount('SIGUSR2'), before + 1)
  leaves[1]?.()
  t.equal(process.listenerCount('SIGUSR2'), before)
  leaves[2]?.()
})

t.test('each signal that an app has begins it', async t => {
  const { ours } = setUp()
  const counts = (): number[] => ['SIGUSR2', 'SIGHUP'].map(signal => process.listenerCount(signal))
  const before = counts()
  const leaves = (['SIGUSR2', 'SIGHUP'] as const).map(signal => ours.join(member({ signal }).member))
  t.same(counts(), before.map(count => count + 1))
  for (const leave of leaves) leave()
  t.same(counts(), before)
})

t.test('in a worker of a cluster the primary begins, and nobody else', async t => {
  const { host, said } = hostOf(false)
  const ours = handoverProcess(host, new FakeClock(), { execPath: '/does/not/exist', args: [], cwd: '/', env: {} }, true)
  const order = (message: object): void => { host.emit('message', { 'fastify-drain.cluster': message }) }
  const toPrimary = (message: object): object => ({ 'fastify-drain.cluster': message })
  order({ type: 'begin' })
  await soon()
  t.match(said.splice(0), [toPrimary({ type: 'failed', message: /no app of this worker takes part/ })])

  const { member: one, happened } = member({ signal: 'SIGUSR2', servers: [await listening(t)] })
  const leave = ours.join(one)
  await t.rejects(ours.handOver(), { code: 'FST_DRAIN_HANDOVER', message: /its primary begins; call replaceWorker\(\)/ })
  process.kill(process.pid, 'SIGUSR2')
  await new Promise(resolve => setTimeout(resolve, 50))
  t.same([happened, said], [[], []])

  order({ type: 'begin' })
  await soon()
  t.match(said.splice(0), [toPrimary({ type: 'start', listeners: [{ fd: 0 }], readyTimeout: 30_000 })])
  t.same(happened, ['begun'])
  order({ type: 'ended', how: 'it has ended with code 1' })
  await eventually(() => said.length === 2, 'all is said')
  t.same(happened, ['begun', 'failed'])
  t.match(said, [toPrimary({ type: 'bye' }), toPrimary({ type: 'failed', message: /it has ended with code 1/ })])
  leave()
})
