import { accepted, eventually } from '../helpers/app.ts'
import type { Row, Tests } from '../helpers/rows.ts'
import { writerThread } from '../helpers/writer-thread.ts'

const tests: Tests = {}

for (const asks of [true, false]) {
  const before = asks ? 'that was idle' : 'without a request before'
  tests[`a whole request that nobody has read when the grace of a connection ${before} ends is served`] = async (t, server) => {
    const { app, to } = await server.start(t, { idleGrace: 250, closeSpread: 0 }, app => {
      app.get('/', async () => 'hello')
      app.post('/', async ({ body }) => body)
    })
    const opened = accepted(app)
    const writer = await writerThread(t, server, to, { asks })
    await opened
    if (asks) await eventually(() => app.drain.connections.idle === 1, 'it is idle')

    const closing = app.drain.begin('test')
    await eventually(() => !app.server.listening, 'the listener is closed')
    const late = writer.client.prepare('/', { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json', 'content-length': '7' } })
    await writer.writeWhileBlocked(late.bytes, 350)

    t.equal(await writer.ended, null, 'no RST')
    t.match(await late.answer(), { status: 200, body: '{"a":1}' })
    t.ok(writer.client.isTold)
    t.match(await closing, { requests: { served: 1 }, connections: { cut: 0 } })
  }
}

export default {
  number: 2,
  situation: 'whole request in the kernel buffer while the connection looks idle',
  expected: 'served, never executed but unanswered',
  tests
} satisfies Row
