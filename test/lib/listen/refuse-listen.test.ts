import t from 'tap'
import Fastify from 'fastify'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { refuseListen } from '../../../lib/listen/refuse-listen.ts'
import { watchListen } from '../../../lib/listen/watch-listen.ts'

t.test('a listen() that is refused fails with the error, and the server can be used again', async t => {
  const server = createServer()
  const why = new Error('not now')
  let refused = true
  watchListen(server, (server, options) => { if (refused) refuseListen(server, options, why) })
  server.on('listening', () => t.notOk(refused))
  const options = { host: '127.0.0.1', port: 0 }
  server.listen(options)
  t.equal((await new Promise(resolve => server.once('error', resolve))), why)
  t.notOk(server.listening)
  t.match(options, { host: '127.0.0.1', port: 0, fd: undefined }, 'the options are those of the user')

  refused = false
  server.listen(options)
  await once(server, 'listening')
  t.ok((server.address() as AddressInfo).port > 0)
  server.close()
})

t.test('app.listen() rejects with the error, for every kind of address', async t => {
  for (const address of [{ host: '127.0.0.1', port: 0 }, { port: 0 }, { path: '/nowhere/socket' }, { host: 'not a host name', port: 0 }]) {
    const app = Fastify()
    t.teardown(() => app.close())
    const why = new Error('not now')
    watchListen(app.server, (server, options) => refuseListen(server, options, why))
    await t.rejects(app.listen(address), why)
    t.notOk(app.server.listening)
  }
})

t.test('whoever tries again at once, with other options, is not refused for what was wrong before', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const why = new Error('not now')
  watchListen(app.server, (server, options) => { if (options.port === 1) refuseListen(server, options, why) })
  await app.ready()
  await app.listen({ host: '127.0.0.1', port: 1 }).catch(error => {
    t.equal(error, why)
    return app.listen({ host: '127.0.0.1', port: 0 })
  })
  t.ok(app.server.listening)
})
