import { eventually } from '../helpers/app.ts'
import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'

const size = 4 * 1024 * 1024

export default {
  number: 21,
  situation: 'socket paused by backpressure',
  expected: 'resumed for discarding',
  tests: {
    'an upload that nobody reads is discarded after the answer, and the client is not reset': async (t, server) => {
      let arrived = false
      let go = (): void => {}
      const { app, to } = await server.start(t, { idleGrace: 0, lingerTimeout: 5000 }, app => {
        app.addContentTypeParser('application/octet-stream', (_request, _payload, done) => { done(null) })
        app.post('/', async () => {
          arrived = true
          await new Promise<void>(resolve => { go = resolve })
          return 'not read'
        })
      })
      const client = await server.client(t, to)
      const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) }
      const upload = client.ask('/', { method: 'POST', body: null, headers })
      upload.finish('x'.repeat(size))
      await eventually(() => arrived, 'the request has come')
      const closing = app.drain.begin('test')
      // The server has stopped reading, and the client cannot finish.
      await new Promise(resolve => setTimeout(resolve, 100))
      t.equal(upload.isSent, false)
      go()
      t.match(await upload.answer(), { status: 200, body: 'not read' })
      await eventually(() => upload.isSent, 'everything is taken')
      t.equal(await leave(client.wire), null, 'no RST')
      t.ok(client.isTold)
      t.match(await closing, { requests: { served: 1 }, connections: { total: 1, cut: 0, 'timed-out': 0, destroyed: 0 } })
    }
  }
} satisfies Row
