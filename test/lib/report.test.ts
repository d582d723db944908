import t from 'tap'
import type { Connection, ConnectionOutcome, ConnectionState } from '../../lib/connection.ts'
import { Ledger } from '../../lib/report.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

function fakeConnection (given: {
  outcome?: ConnectionOutcome | null
  lastState?: ConnectionState
  error?: string
  unacknowledged?: number
  streams?: number
  openedAt?: number
  remoteAddress?: string
  remotePort?: number
  method?: string
  route?: string
}): Connection {
  const { remoteAddress, remotePort, method = null, route = null } = given
  return {
    outcome: null,
    lastState: 'idle',
    error: null,
    unacknowledged: null,
    streams: 0,
    openedAt: 0,
    transport: { remoteAddress, remotePort },
    currentRequest: () => ({ method, route }),
    ...given
  } as unknown as Connection
}

t.test('a report tells when each phase began and how long it was', async t => {
  const clock = new FakeClock()
  clock.advance(123_456.7)
  const ledger = new Ledger(clock)
  const before = Date.now()
  ledger.begin('SIGTERM', 0)
  ledger.enter('lame-duck')
  clock.advance(100.4)
  ledger.enter('draining')
  clock.advance(1000)
  ledger.enter('aborting')
  ledger.enter('closed')
  clock.advance(20)
  const report = ledger.report()
  t.equal(report.reason, 'SIGTERM')
  t.equal(report.duration, 1120)
  t.same(report.phases, [
    { phase: 'lame-duck', at: 0, duration: 100 },
    { phase: 'draining', at: 100, duration: 1000 },
    { phase: 'aborting', at: 1100, duration: 0 },
    { phase: 'closed', at: 1100, duration: 20 }
  ])
  const began = new Date(report.startedAt)
  t.equal(began.toISOString(), report.startedAt)
  t.ok(began.getTime() >= before && began.getTime() <= Date.now(), 'wall-clock time')
})

t.test('a report counts connections by outcome, and requests', async t => {
  const ledger = new Ledger(new FakeClock())
  ledger.begin('test', 5)
  ledger.accepted()
  ledger.accepted()
  for (let i = 0; i < 3; i++) ledger.served()
  for (const outcome of ['peer-closed', 'half-closed', 'half-closed', 'timed-out', 'handed-over', 'destroyed'] as const) {
    ledger.ended(fakeConnection({ outcome }))
  }
  const cut = fakeConnection({ outcome: 'cut' })
  ledger.straggler(cut, 'cut')
  ledger.ended(cut)
  const { connections, requests } = ledger.report()
  t.strictSame(connections, {
    total: 7, 'peer-closed': 1, 'half-closed': 2, 'timed-out': 1, cut: 1, 'handed-over': 1, 'peer-lost': 0, destroyed: 1
  })
  t.equal(Object.values(connections).reduce((sum, count) => sum + count) - connections.total, connections.total, 'it adds up')
  t.strictSame(requests, { served: 3 })
})

t.test('a connection that is cut is counted before its socket has closed, one that timed out afterwards', async t => {
  const ledger = new Ledger(new FakeClock())
  ledger.begin('test', 2)
  ledger.straggler(fakeConnection({}), 'cut')
  const late = fakeConnection({ outcome: 'timed-out' })
  ledger.straggler(late, 'timed-out')
  t.match(ledger.report().connections, { cut: 1, 'timed-out': 0 })
  ledger.ended(late)
  t.match(ledger.report().connections, { cut: 1, 'timed-out': 1 })
})

t.test('a straggler is named with its peer, its request, its age and its state', async t => {
  const clock = new FakeClock()
  const ledger = new Ledger(clock)
  clock.advance(500)
  ledger.begin('test', 1)
  clock.advance(1000.2)
  ledger.straggler(fakeConnection({
    openedAt: 300,
    lastState: 'active',
    error: 'EPIPE',
    unacknowledged: 17,
    streams: 3,
    remoteAddress: '127.0.0.1',
    remotePort: 4711,
    method: 'POST',
    route: '/upload'
  }), 'cut')
  t.strictSame(ledger.report().stragglers, [{
    remoteAddress: '127.0.0.1',
    remotePort: 4711,
    method: 'POST',
    route: '/upload',
    age: 1200,
    state: 'active',
    outcome: 'cut',
    error: 'EPIPE',
    unacknowledgedBytes: 17,
    streams: 3
  }])
})

t.test('a straggler on a Unix socket has no address', async t => {
  const ledger = new Ledger(new FakeClock())
  ledger.begin('test', 1)
  ledger.straggler(fakeConnection({ lastState: 'lingering' }), 'timed-out')
  t.strictSame(ledger.report().stragglers, [{
    remoteAddress: null,
    remotePort: null,
    method: null,
    route: null,
    age: 0,
    state: 'lingering',
    outcome: 'timed-out',
    error: null,
    unacknowledgedBytes: null,
    streams: 0
  }])
})

t.test('before a drain begins nothing is recorded', async t => {
  const ledger = new Ledger(new FakeClock())
  ledger.straggler(fakeConnection({}), 'timed-out')
  ledger.ended(fakeConnection({ outcome: 'peer-closed' }))
  ledger.begin('test', 0)
  const { connections, stragglers } = ledger.report()
  t.same(stragglers, [])
  t.ok(Object.values(connections).every(count => count === 0))
})

t.test('a peer that was lost is counted whenever it was, and named if a drain runs', async t => {
  const ledger = new Ledger(new FakeClock())
  const lost = fakeConnection({ outcome: 'peer-lost', lastState: 'active', error: 'ETIMEDOUT', unacknowledged: 1000 })
  ledger.ended(lost)
  t.equal(ledger.lostPeers, 1)
  ledger.begin('test', 1)
  t.same(ledger.report().stragglers, [])
  t.equal(ledger.report().connections['peer-lost'], 0)

  ledger.ended(lost)
  t.equal(ledger.lostPeers, 2)
  t.match(ledger.report(), {
    connections: { 'peer-lost': 1, cut: 0 },
    stragglers: [{ outcome: 'peer-lost', state: 'active', error: 'ETIMEDOUT', unacknowledgedBytes: 1000 }]
  })
  ledger.ended(fakeConnection({ outcome: 'half-closed' }))
  t.equal(ledger.lostPeers, 2)
})

t.test('a report is plain JSON, and a copy', async t => {
  const ledger = new Ledger(new FakeClock())
  ledger.begin('test', 1)
  ledger.enter('draining')
  ledger.straggler(fakeConnection({}), 'cut')
  const report = ledger.report()
  t.strictSame(JSON.parse(JSON.stringify(report)), report)
  ledger.straggler(fakeConnection({}), 'cut')
  t.equal(report.connections.cut, 1)
  t.equal(report.stragglers.length, 1)
})

t.test('what was handed over counts, before the drain begins as well', async t => {
  const ledger = new Ledger(new FakeClock())
  ledger.ended(fakeConnection({ outcome: 'handed-over' }))
  ledger.ended(fakeConnection({ outcome: 'handed-over' }))
  ledger.ended(fakeConnection({ outcome: 'peer-closed' }))
  ledger.begin('handover', 2)
  ledger.ended(fakeConnection({ outcome: 'handed-over' }))
  ledger.ended(fakeConnection({ outcome: 'half-closed' }))
  t.match(ledger.report(), { connections: { total: 4, 'handed-over': 3, 'half-closed': 1, 'peer-closed': 0 }, stragglers: [] })
})
