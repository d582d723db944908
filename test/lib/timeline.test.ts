import t from 'tap'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Connection } from '../../lib/connection.ts'
import { Observers } from '../../lib/observer.ts'
import type { FastifyDrainOptions } from '../../lib/options.ts'
import { Timeline, type DrainReportFile } from '../../lib/timeline.ts'
import { deferred, eventually } from '../helpers/app.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { request } from '../helpers/raw-client.ts'
import { drainByHand } from '../helpers/unit-drain.ts'
import { reportOf } from '../helpers/unit-report.ts'

interface Teardown { teardown (fn: () => unknown): void }

/** A drain by hand that is recorded; what was written is in `files`. */
function recordedDrain (t: Teardown, options: FastifyDrainOptions = {}) {
  const files: DrainReportFile[] = []
  const timelines: Timeline[] = []
  const byHand = drainByHand(t, options, undefined, undefined, clock => {
    timelines.push(new Timeline(clock, file => files.push(file)))
    return timelines
  })
  return { ...byHand, files, timeline: timelines[0] as Timeline }
}

// Answers are what the test finishes by hand.
function held () {
  const answers: ServerResponse[] = []
  return { answers, listener: (_request: unknown, answer: ServerResponse) => { answers.push(answer) } }
}

t.test('nothing is recorded while the app serves', async t => {
  const { drain, listen, timeline, clock } = recordedDrain(t)
  const connect = await listen((_request, answer) => { answer.end('hello') })
  const client = await connect()
  client.write(request('/'))
  await client.until(/hello/)
  t.equal(timeline.isActive, false)
  const draining = drain.begin('test')
  t.equal(timeline.isActive, true)
  client.halfClose()
  client.socket.resume()
  await clock.pass(2000)
  await draining
  t.equal(timeline.isActive, false, 'nor behind its end')
})

t.test('each connection is found in its state, and followed until its end, in ms since the drain began', async t => {
  const { drain, listen, clock, files } = recordedDrain(t, { idleGrace: 1000, peerCloseTimeout: 250 })
  const { answers, listener } = held()
  const connect = await listen(listener)
  clock.advance(100)
  const busy = await connect()
  busy.write(request('/work?token=secret'))
  await eventually(() => answers.length === 1, 'the request was read')
  clock.advance(300)
  const quiet = await connect()
  clock.advance(50)
  const ports = [busy, quiet].map(({ socket }) => socket.localPort)

  const draining = drain.begin('test')
  await clock.pass(400)
  const late = busy.until(/done/)
  answers[0]?.end('done')
  await late
  await eventually(() => drain.connections.counts().idle === 1, 'it was answered')
  await clock.pass(250)
  await busy.fin()
  await clock.pass(30)
  busy.halfClose()
  await eventually(() => drain.connections.size === 1, 'it has closed')
  await clock.pass(320)
  await clock.pass(0)
  await quiet.fin()
  quiet.halfClose()
  await eventually(() => drain.connections.size === 0, 'both have closed')
  const report = await draining

  t.equal(files.length, 1)
  const { timeline, ...written } = files[0]!
  t.same(written, report, 'the report is in it as it is')
  t.same(timeline.connections, [{
    remoteAddress: '127.0.0.1',
    remotePort: ports[0],
    acceptedAt: -350,
    states: [[0, 'active'], [400, 'idle'], [650, 'lingering']],
    omittedChanges: 0,
    endedAt: 680,
    outcome: 'half-closed',
    method: 'GET',
    route: '/work'
  }, {
    remoteAddress: '127.0.0.1',
    remotePort: ports[1],
    acceptedAt: -50,
    states: [[0, 'new'], [1000, 'lingering']],
    omittedChanges: 0,
    endedAt: 1000,
    outcome: 'half-closed',
    method: null,
    route: null
  }])
  t.notMatch(JSON.stringify(files), 'secret')
})

t.test('who comes during the drain is recorded from then on, with what it asks for', async t => {
  const { drain, listen, clock, files } = recordedDrain(t, { shutdownDelay: 1000 })
  const connect = await listen((_request, answer) => { answer.end('hello') })
  const draining = drain.begin('test')
  await clock.pass(200)
  const client = await connect()
  await clock.pass(100)
  client.write(request('/late', { method: 'DELETE' }))
  await client.until(/hello/)
  client.halfClose()
  await eventually(() => drain.connections.size === 0, 'it has closed')
  await clock.pass(1000)
  await draining
  const [connection] = files[0]!.timeline.connections
  t.match(connection, { acceptedAt: 200, endedAt: 300, outcome: 'peer-closed', method: 'DELETE', route: '/late' })
  t.same(connection?.states, [[200, 'new'], [300, 'active'], [300, 'idle']])
})

t.test('a head that is half received is seen with the next phase', async t => {
  const { drain, listen, clock, files } = recordedDrain(t, { shutdownDelay: 1000 })
  const client = await (await listen())()
  const draining = drain.begin('test')
  await clock.pass(500)
  client.write('GET / HT')
  await eventually(() => drain.connections.counts().active === 1, 'it has arrived')
  await clock.pass(500)
  drain.hardStop()
  await draining
  t.same(files[0]!.timeline.connections[0]?.states, [[0, 'new'], [1000, 'active']])
  t.match(files[0]!.timeline.connections[0], { outcome: 'cut', method: null, route: null })
})

t.test('what a second signal cuts has ended, although its socket has not closed yet', async t => {
  const { drain, listen, clock, files } = recordedDrain(t)
  const { answers, listener } = held()
  const client = await (await listen(listener))()
  client.write(request('/endless'))
  await eventually(() => answers.length === 1, 'the request was read')
  const draining = drain.begin('test')
  await clock.pass(70)
  drain.hardStopAndFinish()
  t.equal(files.length, 1, 'written before the call returns')
  t.match(files[0]!.timeline.connections, [{ states: [[0, 'active']], endedAt: 70, outcome: 'cut', method: 'GET', route: '/endless' }])
  await draining
  t.equal(files.length, 1, 'and once')
})

t.test('the streams of an HTTP/2 session, those before the drain too, make it active until the last has ended', async t => {
  const { drain, clock, files } = recordedDrain(t, { shutdownDelay: 1000 })
  const { answers, listener } = held()
  const server = http2.createServer(listener as never)
  drain.connections.adopt(server as never)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(() => { session.destroy(); server.close() })
  session.on('error', () => {})
  const [first, second] = [session.request({ ':path': '/first?token=secret' }), session.request({ ':path': '/second' })]
  await eventually(() => answers.length === 2, 'both have come')

  const draining = drain.begin('test')
  await clock.pass(100)
  answers[0]?.end('done')
  await once(first.resume(), 'close')
  await clock.pass(100)
  answers[1]?.end('done')
  await once(second.resume(), 'close')
  await eventually(() => drain.connections.counts().streams === 0, 'both have ended')
  await clock.pass(100)
  const third = session.request({ ':path': '/third' })
  await eventually(() => answers.length === 3, 'and one more has come')
  await clock.pass(100)
  answers[2]?.end('done')
  await once(third.resume(), 'close')
  await eventually(() => drain.connections.counts().streams === 0, 'it has ended')
  await clock.pass(10)
  drain.hardStop()
  await draining
  const [connection] = files[0]!.timeline.connections
  t.match(connection, { method: 'GET', route: '/third', endedAt: 410, outcome: 'cut' })
  t.same(connection?.states, [[0, 'active'], [200, 'idle'], [300, 'active'], [400, 'idle']])
})

/** A connection that is what the test says. */
function fakeConnection () {
  const connection = {
    transport: { remoteAddress: undefined, remotePort: undefined },
    openedAt: 0,
    state: 'idle',
    outcome: null as string | null,
    currentRequest: () => ({ method: 'GET', route: '/' as string | null })
  }
  return connection as typeof connection & Connection
}

t.test('a session that never rests does not fill the file, and its last state is right', async t => {
  const clock = new FakeClock()
  const files: DrainReportFile[] = []
  const timeline = new Timeline(clock, file => files.push(file))
  const connection = fakeConnection()
  connection.state = 'active'
  timeline.begin(0, [connection])
  for (let i = 0; i < 999; i++) {
    clock.advance(1)
    connection.state = i % 2 === 0 ? 'idle' : 'active'
    timeline.changed(connection)
  }
  clock.advance(1)
  connection.state = 'lingering'
  timeline.changed(connection)
  connection.outcome = 'half-closed'
  timeline.closed(connection)
  timeline.changed(connection)
  timeline.finished(reportOf([]))
  const { states, omittedChanges, remoteAddress } = files[0]!.timeline.connections[0]!
  t.equal(states.length, 1 + 64 + 2)
  t.equal(omittedChanges, 999 - 64 - 1)
  t.same(states.slice(-3), [[64, 'active'], [999, 'idle'], [1000, 'lingering']])
  t.equal(remoteAddress, null, 'a Unix socket')
})

t.test('what is neither closed nor cut when the process ends has no outcome', async t => {
  const files: DrainReportFile[] = []
  const timeline = new Timeline(new FakeClock(), file => files.push(file))
  timeline.begin(0, [fakeConnection()])
  timeline.finished(reportOf([]))
  t.match(files[0]!.timeline.connections, [{ endedAt: null, outcome: null }])
})

t.test('an observer that is not active hears of the beginning of a drain alone', async t => {
  const heard: string[] = []
  const { promise, resolve } = deferred()
  const observer = {
    isActive: false,
    wantsStates: false,
    begin: () => { heard.push('begin'); resolve() },
    opened: () => { heard.push('opened') },
    changed: () => { heard.push('changed') },
    closed: () => { heard.push('closed') },
    phase: () => { heard.push('phase') },
    finished: () => { heard.push('finished') }
  }
  const { drain } = drainByHand(t, {}, undefined, undefined, () => [observer])
  await drain.begin('test')
  await promise
  t.same(heard, ['begin'])
  t.doesNotThrow(() => new Observers([{ ...observer, begin: undefined } as never]).begin(0, []))
})

t.test('10,000 connections are recorded, and written as JSON, in a moment', async t => {
  const clock = new FakeClock()
  let size = 0
  const timeline = new Timeline(clock, file => { size = JSON.stringify(file).length })
  const connections = Array.from({ length: 10_000 }, fakeConnection)
  for (const connection of connections) connection.currentRequest = () => ({ method: 'GET', route: '/items' })
  const before = performance.now()
  timeline.begin(0, connections)
  for (const state of ['active', 'idle', 'lingering'] as const) {
    clock.advance(100)
    for (const connection of connections) {
      connection.state = state
      timeline.changed(connection)
    }
  }
  for (const connection of connections) {
    connection.outcome = 'half-closed'
    timeline.closed(connection)
  }
  timeline.finished(reportOf([]))
  t.comment(`${Math.round(performance.now() - before)} ms, ${size} bytes`)
  t.ok(performance.now() - before < 5000)
  t.ok(size < 4_000_000)
})

t.test('a connection is never accepted behind its first state, whatever is rounded up', async t => {
  const clock = new FakeClock()
  let file: DrainReportFile | null = null
  const timeline = new Timeline(clock, written => { file = written })
  clock.advance(5.2)
  timeline.begin(clock.now(), [])
  clock.advance(0.4)
  timeline.opened({ ...fakeConnection(), openedAt: Math.round(clock.now()) } as never)
  timeline.finished({ duration: 0 } as never)
  t.match(file, { timeline: { connections: [{ acceptedAt: 0, states: [[0, String]] }] } })
})
