import t from 'tap'
import { accepted, deferred, eventually, testApp } from './helpers/app.ts'
import { rawClient, request } from './helpers/raw-client.ts'

interface Line {
  level: number
  time: number
  msg: string
  phase?: string
}

// What the drain logs at level info or above.
function logger () {
  const lines: Line[] = []
  const stream = {
    write (text: string) {
      const line: Line = JSON.parse(text)
      if (line.msg.startsWith('drain')) lines.push(line)
    }
  }
  return { lines, options: { logger: { level: 'info', stream } } }
}

t.test('the report counts every connection once, in plain JSON without query strings', async t => {
  const { lines, options } = logger()
  const { app, listen } = await testApp(t, {
    idleGrace: 100, peerCloseTimeout: 20, lingerTimeout: 150, hardStopAfter: 1200
  }, options)
  app.get('/', async () => 'hello')
  app.get('/endless', () => new Promise(() => {}))
  app.get('/destroys', (_request, reply) => {
    reply.hijack()
    app.drain.signal.addEventListener('abort', () => reply.raw.socket?.destroy())
  })
  const to = await listen()
  const [closesFirst, answersFin, staysOpen, endless, destroyed] = await Promise.all(Array.from({ length: 5 }, () => rawClient(t, to)))
  for (const client of [closesFirst, answersFin, staysOpen]) {
    client!.write(request('/?token=secret'))
    await client!.until(/hello/)
  }
  endless!.write(request('/endless?token=secret'))
  destroyed!.write(request('/destroys?token=secret'))
  await eventually(() => app.drain.connections.active === 2, 'the requests were read')
  t.same(app.drain.connections, { new: 0, active: 2, idle: 3, upgraded: 0, lingering: 0, streams: 0 })
  t.equal(app.drain.report, null)

  const closing = app.drain.begin('a test')
  answersFin!.write(request('/?token=secret'))
  closesFirst!.halfClose()
  await answersFin!.fin()
  answersFin!.halfClose()
  const report = await closing

  const { total, ...outcomes } = report.connections
  t.same(outcomes, { 'peer-closed': 1, 'half-closed': 1, 'timed-out': 1, cut: 1, 'handed-over': 0, 'peer-lost': 0, destroyed: 1 })
  t.equal(total, Object.values(outcomes).reduce((sum, count) => sum + count))
  t.equal(report.requests.served, 1)
  t.equal(report.reason, 'a test')
  t.ok(Math.abs(Date.parse(report.startedAt) - Date.now()) < 60_000)
  t.same(JSON.parse(JSON.stringify(report)), report)
  t.equal(app.drain.report, report)

  const age = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 60_000
  t.equal(report.stragglers.length, 2)
  for (const straggler of report.stragglers) t.ok(age(straggler.age), `${straggler.age} ms`)
  t.match(report.stragglers, [
    { remoteAddress: '127.0.0.1', remotePort: staysOpen!.socket.localPort, method: null, route: null, state: 'lingering', outcome: 'timed-out' },
    { remoteAddress: '127.0.0.1', remotePort: endless!.socket.localPort, method: 'GET', route: '/endless', state: 'active', outcome: 'cut' }
  ])
  t.notMatch(JSON.stringify(report), /secret|token/)
  t.notMatch(JSON.stringify(lines), /secret|token/)
})

t.test('the phases of a report follow each other without a gap', async t => {
  const { app, listen } = await testApp(t, { shutdownDelay: 100, idleGrace: 100, lingerTimeout: 50 })
  await rawClient(t, await listen())
  const { phases, duration } = await app.drain.begin('test')
  t.same(phases.map(({ phase }) => phase), ['lame-duck', 'draining', 'closed'])
  t.equal(phases[0]?.at, 0)
  phases.forEach(({ at, duration: long }, i) => t.equal(at + long, phases[i + 1]?.at ?? duration))
})

t.test('the log has a line per phase, one per second while something is left, and one summary', async t => {
  const { lines, options } = logger()
  const { app, listen } = await testApp(t, { idleGrace: 50, peerCloseTimeout: 20 }, options)
  const answer = deferred<string>()
  app.get('/slow', () => answer.promise)
  const client = await rawClient(t, await listen())
  client.write(request('/slow'))
  await eventually(() => app.drain.connections.active === 1, 'the request was read')

  const closing = app.drain.begin('a test')
  const seconds = (): Line[] => lines.filter(({ msg }) => /left$/.test(msg))
  await eventually(() => seconds().length === 2, 'two seconds')
  answer.resolve('done')
  await client.fin()
  client.halfClose()
  const { phases } = await closing

  t.same(lines.flatMap(({ phase }) => phase ?? []), phases.map(({ phase }) => phase))
  t.match(lines[0], { level: 30, msg: 'drain (a test): lame-duck, 1 active' })
  t.same(seconds().map(({ msg }) => msg), ['drain: 1 active left', 'drain: 1 active left'])
  const [first, second] = seconds()
  t.ok(second!.time - first!.time > 500, 'a second, about')
  const summaries = lines.filter(({ msg }) => msg.startsWith('drain: closed after'))
  t.match(summaries, [{ level: 30, msg: /1 requests? served meanwhile, 1 connections? \(1 half-closed\)$/ }])
  t.equal(lines.length, phases.length + 2 + 1, 'and nothing else')
})

t.test('the summary is a warning when there were stragglers, and names at most ten', async t => {
  const { lines, options } = logger()
  const { app, listen } = await testApp(t, { idleGrace: 0, lingerTimeout: 50 }, options)
  const to = await listen()
  for (let i = 0; i < 12; i++) await Promise.all([rawClient(t, to), accepted(app)])
  const report = await app.drain.begin('test')
  t.equal(report.stragglers.length, 12)

  const summary = lines.find(({ msg }) => msg.startsWith('drain: closed after'))
  t.equal(summary?.level, 40)
  t.match(summary?.msg, / and 2 more$/)
  t.equal(summary?.msg.match(/127\.0\.0\.1:/g)?.length, 10)
})
