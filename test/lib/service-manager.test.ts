import t from 'tap'
import { ServiceManager, type ServiceManagerEnv } from '../../lib/service-manager.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

type Host = NonNullable<ServiceManagerEnv['host']>

function setUp (host = {} as Host, send?: (message: string) => void) {
  const clock = new FakeClock()
  const sent: string[] = []
  const warned: Array<[object, string]> = []
  const silent = (): void => {}
  const log = { debug: silent, info: silent, warn: (fields: object, message: string) => { warned.push([fields, message]) }, error: silent }
  const manager = new ServiceManager({ clock, log, host, send: send ?? (message => { sent.push(message) }) })
  return { clock, sent, warned, manager }
}

const extend = (status: string): string => `EXTEND_TIMEOUT_USEC=5000000\nSTATUS=${status}`

t.test('the service is ready, then stops, and asks for time once a second until it is closed', async t => {
  const { clock, sent, manager } = setUp()
  manager.ready()
  t.same(sent.splice(0), ['READY=1'])
  let left = 3
  manager.stopping(() => `${left} left`)
  t.same(sent.splice(0), ['STOPPING=1', extend('3 left')])
  clock.advance(999)
  t.same(sent, [])
  left = 2
  clock.advance(1)
  t.same(sent.splice(0), [extend('2 left')])
  clock.advance(3000)
  t.equal(sent.splice(0).length, 3)
  manager.stopped()
  clock.advance(10_000)
  t.same(sent, [])
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('the service stops with its last app', async t => {
  const host = {} as Host
  const [first, second] = [setUp(host), setUp(host)]
  first.manager.ready()
  second.manager.ready()
  t.same([first.sent, second.sent], [['READY=1'], ['READY=1']])
  first.manager.stopping(() => 'one')
  first.clock.advance(2000)
  t.same(first.sent, ['READY=1'])
  second.manager.stopping(() => 'two')
  t.same(second.sent, ['READY=1', 'STOPPING=1', extend('two')])
  first.clock.advance(1000)
  t.same(first.sent, ['READY=1', extend('one')], 'an app that has begun before asks for time, too')
})

t.test('two processes, or a process and its test, do not meet', async t => {
  const [first, second] = [setUp({} as Host), setUp({} as Host)]
  first.manager.ready()
  second.manager.ready()
  first.manager.stopping(() => 'one')
  t.same(first.sent, ['READY=1', 'STOPPING=1', extend('one')])
})

t.test('the apps of a process, and the copies of this package, meet at one place', async t => {
  const { manager } = setUp(process)
  t.same(Object.getOwnPropertySymbols(process).includes(Symbol.for('fastify-drain.serving.v1')), true)
  manager.ready()
  const other = setUp(process)
  other.manager.ready()
  other.manager.stopping(() => '')
  t.same(other.sent, ['READY=1'])
  other.manager.stopped()
  manager.stopping(() => '')
  manager.stopped()
})

t.test('an app that was never ready says nothing when it stops', async t => {
  const { clock, sent, manager } = setUp()
  manager.stopping(() => 'x')
  manager.stopped()
  t.same(sent, [])
  t.equal(clock.timers, 0)
})

t.test('a service manager that cannot be reached is told of once, and the app goes on', async t => {
  const error = new Error('ECONNREFUSED')
  const { clock, warned, manager } = setUp({} as Host, () => { throw error })
  manager.ready()
  manager.stopping(() => 'x')
  clock.advance(5000)
  manager.stopped()
  t.match(warned, [[{ err: error }, /NOTIFY_SOCKET/]])
  t.equal(warned.length, 1)
})

t.test('a handover that fails is a reload after which the service is what it was', async t => {
  const { sent, manager, clock } = setUp()
  manager.ready()
  const before = process.hrtime.bigint() / 1000n
  manager.reloading()
  const [, usec = ''] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(sent[1] ?? '') ?? []
  t.ok(BigInt(usec) >= before && BigInt(usec) <= process.hrtime.bigint() / 1000n, 'CLOCK_MONOTONIC, in microseconds')
  manager.reloaded(null)
  t.same(sent.splice(0).slice(2), ['READY=1'])
  manager.stopping(() => 'x')
  t.same(sent, ['STOPPING=1', extend('x')])
  manager.stopped()
  t.equal(clock.timers, 0)
})

t.test('after a handover the service is the successor, and does not stop with this process', async t => {
  const host = {} as Host
  const [first, second] = [setUp(host), setUp(host)]
  first.manager.ready()
  second.manager.ready()
  first.manager.reloading()
  first.manager.reloaded(4711)
  t.same(first.sent.slice(2), ['MAINPID=4711\nREADY=1'])
  for (const { manager, sent, clock } of [first, second]) {
    const before = sent.length
    manager.stopping(() => 'x')
    manager.stopped()
    t.equal(sent.length, before)
    t.equal(clock.timers, 0)
  }
})

t.test('a successor leaves it to its predecessor to say that it is ready, and stops as every service', async t => {
  const { sent, manager } = setUp()
  manager.ready(true)
  t.same(sent, [])
  manager.stopping(() => 'x')
  t.same(sent, ['STOPPING=1', extend('x')])
  manager.stopped()
})

t.test('a worker can say that the service is ready, not that it stops', async t => {
  const sent: string[] = []
  const clock = new FakeClock()
  const silent = (): void => {}
  const manager = new ServiceManager({ clock, log: { debug: silent, info: silent, warn: silent, error: silent }, host: {} as Host, isWorker: true, send: message => { sent.push(message) } })
  manager.ready()
  manager.stopping(() => 'one')
  clock.advance(5000)
  t.same(sent, ['READY=1'])
})
