import { deferred } from '../helpers/app.ts'
import type { Row } from '../helpers/rows.ts'
import type { Client } from '../helpers/servers.ts'
import { leave } from '../helpers/wire.ts'

export default {
  number: 19,
  situation: 'connection accepted while the listener closes',
  expected: 'tracked and drained',
  tests: {
    'connections that come while the listener closes are accepted, served and drained': async (t, server) => {
      const count = 5
      // The phase is told before the listener closes, and clients connect before the event loop turns.
      const clients = deferred<Array<Promise<Client>>>()
      const { app, to } = await server.start(t, { idleGrace: 2000 }, undefined, {
        logger: {
          stream: {
            write (line: string) {
              if (JSON.parse(line).phase === 'draining') clients.resolve(Array.from({ length: count }, () => server.client(t, to)))
            }
          }
        }
      })
      const closing = app.drain.begin('test')
      const connected = await Promise.all(await clients.promise)
      await Promise.all(connected.map(async client => {
        t.match(await client.ask('/').answer(), { status: 200, body: 'hello' })
        t.equal(await leave(client.wire), null, 'no RST')
        t.ok(client.isTold)
      }))
      t.match(await closing, { requests: { served: count }, connections: { total: count, cut: 0, 'timed-out': 0, destroyed: 0 } })
    }
  }
} satisfies Row
