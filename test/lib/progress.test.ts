import t from 'tap'
import type { Connection } from '../../lib/connection.ts'
import type { Connections, ConnectionCounts } from '../../lib/connections.ts'
import { inWords, Progress } from '../../lib/progress.ts'
import type { DrainReport, Straggler } from '../../lib/report.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

const none: ConnectionCounts = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

function setUp () {
  const clock = new FakeClock()
  const lines: Array<[level: string, message: string, fields: object]> = []
  const to = (level: string) => (fields: object, message: string) => { lines.push([level, message, fields]) }
  const log = { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') }
  return { clock, lines, progress: new Progress(log, clock) }
}

function fakeConnections ({ listening = false, counts = none }: { listening?: boolean, counts?: ConnectionCounts }): Connections {
  const size = Object.values(counts).reduce((sum, count) => sum + count)
  return { listening, size, counts: () => counts } as unknown as Connections
}

function reportOf (given: Partial<DrainReport>): DrainReport {
  return {
    reason: 'test',
    startedAt: '2026-01-01T00:00:00.000Z',
    duration: 1234,
    phases: [],
    connections: { total: 0, 'peer-closed': 0, 'half-closed': 0, 'timed-out': 0, cut: 0, 'handed-over': 0, 'peer-lost': 0, destroyed: 0 },
    requests: { served: 0 },
    stragglers: [],
    ...given
  }
}

function stragglersOf (count: number, given: Partial<Straggler> = {}): Straggler[] {
  return Array.from({ length: count }, (_, i) => ({
    remoteAddress: '127.0.0.1', remotePort: 5000 + i, method: 'GET', route: `/${i}`, age: 10 * i, state: 'active', outcome: 'cut', error: null, unacknowledgedBytes: null, streams: 0, ...given
  }))
}

t.test('each phase is one line that says why, and what is open', async t => {
  const { lines, progress } = setUp()
  const counts = { ...none, active: 2, idle: 30 }
  progress.begin(fakeConnections({ listening: true, counts }))
  progress.phase('lame-duck', 'SIGTERM', counts)
  progress.phase('closed', 'SIGTERM', none)
  t.same(lines, [
    ['info', 'drain (SIGTERM): lame-duck, 2 active, 30 idle', { phase: 'lame-duck', reason: 'SIGTERM', connections: counts }],
    ['info', 'drain (SIGTERM): closed, no connection', { phase: 'closed', reason: 'SIGTERM', connections: none }]
  ])
})

t.test('while something is left there is a line per second', async t => {
  const { clock, lines, progress } = setUp()
  const counts = { ...none, active: 3, lingering: 1 }
  progress.begin(fakeConnections({ counts }))
  clock.advance(999)
  t.same(lines, [])
  clock.advance(1)
  t.same(lines, [['info', 'drain: 3 active, 1 lingering left', { connections: counts }]])
  counts.active = 0
  clock.advance(1000)
  t.equal(lines[1]?.[1], 'drain: 1 lingering left')
  counts.lingering = 0
  clock.advance(5000)
  t.equal(lines.length, 2, 'nothing left, nothing to say')
  progress.end()
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('where nothing has begun there is nothing to end', async t => {
  const { clock, lines, progress } = setUp()
  progress.end()
  t.equal(clock.timers, 0)
  t.same(lines, [])
})

t.test('row 35: an app that never listened says so at debug level only', async t => {
  const { clock, lines, progress } = setUp()
  progress.begin(fakeConnections({}))
  progress.phase('lame-duck', 'app.close()', none)
  clock.advance(10_000)
  progress.summary(reportOf({}))
  t.same(lines.map(([level]) => level), ['debug', 'debug'])
})

for (const [what, connections] of [
  ['listens', fakeConnections({ listening: true })],
  ['has a connection', fakeConnections({ counts: { ...none, idle: 1 } })]
] as const) {
  t.test(`an app that ${what} says so at info level`, async t => {
    const { lines, progress } = setUp()
    progress.begin(connections)
    progress.phase('draining', 'test', none)
    progress.summary(reportOf({}))
    t.same(lines.map(([level]) => level), ['info', 'info'])
  })
}

t.test('the summary counts, and leaves out what there is none of', async t => {
  const { lines, progress } = setUp()
  const empty = reportOf({})
  progress.summary(empty)
  const report = reportOf({
    connections: { ...empty.connections, total: 5, 'half-closed': 3, 'peer-closed': 2 },
    requests: { served: 7 }
  })
  progress.summary(report)
  t.same(lines, [
    ['info', 'drain: closed after 1234 ms, 0 requests served meanwhile, 0 connections', { report: empty }],
    ['info', 'drain: closed after 1234 ms, 7 requests served meanwhile, 5 connections (2 peer-closed, 3 half-closed)', { report }]
  ])
})

t.test('the summary warns of stragglers, and names them', async t => {
  const { lines, progress } = setUp()
  const report = reportOf({ stragglers: stragglersOf(2) })
  progress.summary(report)
  t.same(lines, [[
    'warn',
    'drain: closed after 1234 ms, 0 requests served meanwhile, 0 connections; stragglers: ' +
      '127.0.0.1:5000 GET /0 (active, 0 ms old, cut), 127.0.0.1:5001 GET /1 (active, 10 ms old, cut)',
    { report }
  ]])
})

t.test('a straggler without a request, or without an address, is named without it', async t => {
  const { lines, progress } = setUp()
  progress.summary(reportOf({
    stragglers: [
      ...stragglersOf(1, { method: null, route: null, state: 'lingering', outcome: 'timed-out' }),
      ...stragglersOf(1, { remoteAddress: null, remotePort: null })
    ]
  }))
  t.match(lines[0]?.[1], /stragglers: 127\.0\.0\.1:5000 \(lingering, 0 ms old, timed-out\), local socket GET \/0 \(active, 0 ms old, cut\)$/)
})

t.test('a straggler is named with its error, and with the bytes that were not acknowledged', async t => {
  const { lines, progress } = setUp()
  progress.summary(reportOf({
    stragglers: [
      ...stragglersOf(1, { outcome: 'peer-lost', error: 'ETIMEDOUT', unacknowledgedBytes: 1460 }),
      ...stragglersOf(1, { unacknowledgedBytes: 0, streams: 1 })
    ]
  }))
  t.match(lines[0]?.[1], /127\.0\.0\.1:5000 GET \/0 \(active, 0 ms old, peer-lost, ETIMEDOUT, 1460 bytes not acknowledged\), .*\(active, 0 ms old, cut\)$/)
})

t.test('an HTTP/2 session is named with the oldest request and the number of its streams', async t => {
  const { lines, progress } = setUp()
  progress.summary(reportOf({ stragglers: stragglersOf(1, { streams: 20 }) }))
  t.match(lines[0]?.[1], /127\.0\.0\.1:5000 GET \/0 \(active, 0 ms old, cut, 20 streams\)$/)
})

t.test('a peer that has vanished is told of at debug level', async t => {
  const { lines, progress } = setUp()
  const transport = { remoteAddress: '192.0.2.1', remotePort: 4711 }
  progress.peerLost({ error: 'ETIMEDOUT', transport } as unknown as Connection)
  t.same(lines, [['debug', 'drain: a peer has vanished (ETIMEDOUT); its connection is closed', { error: 'ETIMEDOUT', ...transport }]])
})

t.test('connections are counted in words', async t => {
  t.equal(inWords(none), 'no connection')
  t.equal(inWords({ ...none, upgraded: 1, new: 2 }), '2 new, 1 upgraded')
})

t.test('the summary names at most ten stragglers, and counts the others', async t => {
  for (const [count, end] of [[10, '/9 (active, 90 ms old, cut)'], [11, '/9 (active, 90 ms old, cut) and 1 more'], [500, ' and 490 more']] as const) {
    const { lines, progress } = setUp()
    progress.summary(reportOf({ stragglers: stragglersOf(count) }))
    const message = String(lines[0]?.[1])
    t.equal(message.match(/GET/g)?.length, 10)
    t.ok(message.endsWith(end), message)
  }
})

t.test('what goes wrong is an error or a warning with its cause', async t => {
  const { lines, progress } = setUp()
  const error = new Error('kaboom')
  progress.hooksTooSlow()
  progress.closeFailed(error)
  progress.closerFailed(error)
  t.same(lines.map(([level, , fields]) => [level, fields]), [['error', {}], ['error', { err: error }], ['warn', { err: error }]])
  t.match(lines.map(([, message]) => message), [/onClose hook is still running/, /onClose hook failed/, /onUpgradeClose\(\) failed/])
})
