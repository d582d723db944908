import type { FastifyInstance } from 'fastify'
import { deferred, eventually } from '../helpers/app.ts'
import { readAll } from '../helpers/drain-slow.ts'
import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'

const headers = { 'content-type': 'text/plain' }

/** Answers with what was read; `seen` is told of it even if nobody can be answered any more. */
function readingApp (seen: (read: { bytes: number, end: string }) => void = () => {}): (app: FastifyInstance) => void {
  return app => {
    app.addContentTypeParser('text/plain', (_request, payload, done) => { done(null, payload) })
    app.post('/upload', async request => {
      const read = await readAll(request.body as never)
      seen(read)
      return read
    })
  }
}

export default {
  number: 22,
  situation: 'chunked upload in flight',
  expected: 'completes before the deadline; else truncation is visible to the handler',
  tests: {
    'an upload in flight completes, however long it takes until the deadline': async (t, server) => {
      const { app, to } = await server.start(t, { idleGrace: 0, peerCloseTimeout: 20, lingerTimeout: 50, lingerTime: 50 }, readingApp())
      const client = await server.client(t, to)
      const upload = client.ask('/upload', { method: 'POST', body: null, headers })
      await eventually(() => app.drain.connections.active === 1, 'the request was read')
      const closing = app.drain.begin('test')
      for (let i = 0; i < 10; i++) {
        upload.write('hello')
        await new Promise(resolve => setTimeout(resolve, 25))
      }
      upload.finish()
      const { status, body } = await upload.answer()
      t.equal(status, 200)
      t.same(JSON.parse(body), { bytes: 50, end: 'complete' })
      t.equal(await leave(client.wire), null, 'no RST')
      t.ok(client.isTold)
      t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, destroyed: 0 } })
    },

    'an upload that is cut at the deadline looks truncated to its handler': async (t, server) => {
      const seen = deferred<{ bytes: number, end: string }>()
      const { app, to } = await server.start(t, { idleGrace: 0, hardStopAfter: 300 }, readingApp(seen.resolve))
      const client = await server.client(t, to)
      const upload = client.ask('/upload', { method: 'POST', body: null, headers })
      upload.write('hello')
      await eventually(() => app.drain.connections.active === 1, 'the request was read')
      const report = await app.drain.begin('test')
      const { bytes, end } = await seen.promise
      t.equal(bytes, 5)
      t.not(end, 'complete')
      t.same(upload.statuses, [])
      t.match(report, { requests: { served: 0 }, connections: { total: 1, cut: 1 }, stragglers: [{ method: 'POST', route: '/upload', outcome: 'cut' }] })
    }
  }
} satisfies Row
