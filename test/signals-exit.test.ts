import t from 'tap'
import { closesToo, startService } from './helpers/drain-service.ts'
import { answers, request } from './helpers/raw-client.ts'

// Nothing here may come near the default deadline of 25 s.
const soon = 10_000

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`after ${signal} an idle connection gets a FIN, and the process exits with 0`, async t => {
    const service = await startService(t, { idleGrace: 100 })
    const client = await service.client()
    client.write(request('/'))
    await client.until(/hello/)
    service.child.kill(signal)
    const sent = performance.now()
    t.equal(await closesToo(client), null)
    const { at, ...exit } = await service.exited
    t.same(exit, { code: 0, signal: null })
    t.ok(at - sent < soon)
    t.match(service.logged().find(({ report }) => report !== undefined)?.report, { reason: signal, connections: { total: 1, 'half-closed': 1 } })
  })
}

t.test('a request in flight at SIGTERM is answered with Connection: close, and exit 0 follows', async t => {
  const service = await startService(t, { idleGrace: 100, peerCloseTimeout: 100 })
  const client = await service.asking('/slow')
  service.child.kill('SIGTERM')
  t.equal(await closesToo(client), null)
  const answered = performance.now()
  t.match(answers(client.received), [{ status: 200, headers: { connection: 'close' }, body: 'at last' }])
  const { code, at } = await service.exited
  t.equal(code, 0)
  t.ok(at - answered < 3000, 'no wait for keepAliveTimeout')
})

t.test('a request that is cut at the deadline makes the process exit with 1', async t => {
  const service = await startService(t, { idleGrace: 100, hardStopAfter: 500 })
  const client = await service.asking('/endless')
  service.child.kill('SIGTERM')
  t.equal((await service.exited).code, 1)
  await client.fin()
  t.equal(client.received, '')
  t.match(service.logged().find(({ report }) => report !== undefined), {
    level: 40, msg: /GET \/endless/, report: { connections: { cut: 1 }, stragglers: [{ route: '/endless', outcome: 'cut' }] }
  })
})

t.test('hardStop reset puts RST on a connection that is cut, hardStop destroy does not', async t => {
  for (const [hardStop, error] of [['reset', 'ECONNRESET'], ['destroy', null]] as const) {
    const service = await startService(t, { idleGrace: 100, hardStopAfter: 300, hardStop })
    const client = await service.asking('/endless')
    service.child.kill('SIGTERM')
    t.equal(await closesToo(client), error, hardStop)
    t.equal(client.sawFin, error === null)
    t.equal((await service.exited).code, 1)
  }
})

for (const [path, message] of [['/throw', 'nobody catches this'], ['/reject', 'nobody handles this']] as const) {
  t.test(`an error that nobody caught (${path}) drains: the request in flight is answered, and the exit code is 1`, async t => {
    const service = await startService(t, { idleGrace: 100, peerCloseTimeout: 100 })
    const slow = await service.asking('/slow')
    const guilty = await service.asking(path)
    await service.told('draining')
    t.same(await Promise.all([slow, guilty].map(closesToo)), [null, null])
    t.match(answers(slow.received), [{ status: 200, headers: { connection: 'close' }, body: 'at last' }])
    t.equal(answers(guilty.received)[0]?.status, 200)
    t.equal((await service.exited).code, 1)
    t.match(service.logged().find(({ level }) => level === 60), { err: { message } })
  })
}

t.test('a process whose app was closed ends by itself, with 0, as soon as everything is closed', async t => {
  // A timer that is left would hold it.
  const service = await startService(t, {
    idleGrace: 30_000, peerCloseTimeout: 100, lingerTimeout: 30_000, lingerTime: 30_000, hardStopAfter: 60_000
  })
  const [idle, slow] = [await service.client(), await service.asking('/slow')]
  const closer = await service.asking('/close')
  await service.told('draining')
  idle.halfClose()
  closer.halfClose()
  t.equal(await closesToo(slow), null)
  t.match(answers(slow.received), [{ status: 200, headers: { connection: 'close' } }])
  const closed = performance.now()
  const { code, signal, at } = await service.exited
  t.same({ code, signal }, { code: 0, signal: null })
  t.ok(at - closed < soon)
})

t.test('with signals: false a signal does what it does without the plugin', async t => {
  const service = await startService(t, { signals: false })
  service.child.kill('SIGTERM')
  t.match(await service.exited, { code: null, signal: 'SIGTERM' })
})

t.test('a signal that is not asked for does what it does without the plugin', async t => {
  const service = await startService(t, { signals: ['SIGINT'] })
  service.child.kill('SIGTERM')
  t.match(await service.exited, { code: null, signal: 'SIGTERM' })
})
