import t from 'tap'
import { createServer, type Server } from 'node:net'
import { AppMember, type MemberEnv } from '../../../lib/handover/member.ts'
import { Mover } from '../../../lib/handover/mover.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { drainByHand } from '../../helpers/unit-drain.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** An app with one server, and what its listeners and the service manager were told. */
async function setUp (t: Teardown, { isNotified = true } = {}) {
  const { drain, listen } = drainByHand(t)
  const { server } = await listen()
  const told: string[] = []
  const listeners = {
    passed: (servers: Iterable<Server>) => new Map([...servers].map(server => [server, { fd: 20, name: '', anyPort: true }])),
    async leave (_server: Server, stop: () => void) { told.push('leave'); stop() },
    leaveTo (_server: Server, stop: () => void) { told.push('leave to a successor'); stop() }
  } as unknown as MemberEnv['listeners']
  const serviceManager = {
    reloading: () => { told.push('reloading') },
    reloaded: (pid: number | null) => { told.push(`reloaded ${pid}`) }
  } as unknown as MemberEnv['serviceManager']
  const silent = (): void => {}
  const log = { debug: silent, info: silent, warn: silent, error: silent }
  const member = new AppMember({ settings: { signal: 'SIGHUP', readyTimeout: 7 }, log, drain, listeners, serviceManager: isNotified ? serviceManager : null })
  const mover = new Mover({ channel: { send () {} }, clock: new FakeClock(), onStuck () {} })
  return { drain, server, member, mover, told, log }
}

t.test('a member is what its app and its settings say', async t => {
  const { drain, server, member, log } = await setUp(t)
  t.match(member, { signal: 'SIGHUP', readyTimeout: 7, log })
  t.equal(member.closing, drain.signal)
  t.strictSame([...member.passed()], [[server, { fd: 20, name: '', anyPort: true }]])
  t.notOk(member.hasLostSuccessor)
})

t.test('the service manager hears of each step', async t => {
  const { drain, member, mover, told } = await setUp(t)
  member.begun()
  member.failed()
  t.same(told.splice(0), ['reloading', 'reloaded null'])
  member.begun()
  member.depart(mover, () => 4)
  t.notOk(drain.hasSuccessor)
  member.succeeded(4711)
  t.same(told.splice(0), ['reloading', 'reloaded 4711'])
  t.ok(drain.hasSuccessor)
  t.notOk(member.hasLostSuccessor)
})

t.test('a successor that dies afterwards is lost: the drain goes on as without one, and the service manager is left alone', async t => {
  const { drain, member, mover, told } = await setUp(t)
  member.depart(mover, () => 4)
  member.succeeded(4711)
  told.splice(0)
  member.failed()
  t.notOk(drain.hasSuccessor)
  t.ok(member.hasLostSuccessor)
  t.same(told, [])
})

t.test('an app that closes does not say that it is ready again', async t => {
  const { drain, member, told } = await setUp(t)
  member.begun()
  drain.begin('test')
  member.failed()
  t.same(told, ['reloading'])
})

t.test('without a service manager nobody is told', async t => {
  const { member, mover } = await setUp(t, { isNotified: false })
  member.begun()
  member.failed()
  member.depart(mover, () => 4)
  member.succeeded(4711)
  t.notOk(member.hasLostSuccessor)
})

t.test('a listener is left in the ordinary way, unless a successor has it', async t => {
  const { member, mover, told } = await setUp(t)
  const server = createServer()
  let stopped = 0
  const stop = (): void => { stopped++ }
  await member.leave(server, stop)
  t.same([told.splice(0), stopped], [['leave'], 1])

  const connections = member.depart(mover, () => 4)
  await member.leave(server, stop)
  t.same([told.splice(0), stopped], [['leave to a successor'], 2])
  connections()

  member.failed()
  told.splice(0)
  await member.leave(server, stop)
  t.same([told, stopped], [['leave'], 3])
})

t.test('a listener is left to a successor when those have moved that were accepted there', async t => {
  const { member, mover, told } = await setUp(t)
  member.depart(mover, () => 4)
  mover.offer({ listener: 4, handle: {}, isFree: true, describe: () => ({ age: 0, requests: 0, isFresh: true }), release () {}, keep () {} })
  const left = member.leave(createServer(), () => {})
  await new Promise(resolve => setImmediate(resolve))
  t.same(told, [])
  mover.hear({ type: 'have', id: 1 })
  mover.hear({ type: 'took', ids: [1] })
  await left
  t.same(told, ['leave to a successor'])
})
