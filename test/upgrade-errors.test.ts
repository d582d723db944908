import t from 'tap'
import type { Duplex } from 'node:stream'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { rawClient } from './helpers/raw-client.ts'

for (const [event, head] of [
  ['upgrade', 'GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: words\r\n\r\n'],
  ['connect', 'CONNECT example.org:1 HTTP/1.1\r\nhost: example.org:1\r\n\r\n']
] as const) {
  t.test(`the lost peer of a socket after ${event} ends nothing but its connection, even if the handler does not listen to errors`, async t => {
    const { app, listen } = await testApp(t)
    const upgraded = deferred<Duplex>()
    app.server.on(event, (_request, socket: Duplex) => {
      socket.resume()
      upgraded.resolve(socket)
    })
    const client = await rawClient(t, await listen())
    client.write(head)
    const socket = await upgraded.promise
    // An error that nobody listens to would fail this test.
    client.socket.resetAndDestroy()
    await eventually(() => socket.destroyed, 'the RST has arrived')
    t.equal((socket.errored as NodeJS.ErrnoException).code, 'ECONNRESET')
    t.same(app.drain.connections.upgraded, 0)
  })
}
