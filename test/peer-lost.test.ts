import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import { deferred, testApp } from './helpers/app.ts'
import { rawClient, request } from './helpers/raw-client.ts'

// What the kernel says of a peer that answers no probe; test/keep-alive-netns.test.ts has the real one.
const timedOut = (): Error => Object.assign(new Error('read ETIMEDOUT'), { code: 'ETIMEDOUT' })

t.test('a peer that is lost while nobody drains is counted and logged', async t => {
  const { app, listen, logged } = await testApp(t)
  const accepted = once(app.server, 'connection')
  await rawClient(t, await listen())
  const [socket] = await accepted as [Socket]
  t.equal(app.drain.lostPeers, 0)
  socket.destroy(timedOut())
  await new Promise(resolve => socket.once('close', resolve))
  t.equal(app.drain.lostPeers, 1)
  t.ok(logged.some(line => line.includes('a peer has vanished (ETIMEDOUT)')))
})

t.test('a peer that is lost during a drain is a straggler, with its address and the state it was in', async t => {
  const { app, listen } = await testApp(t)
  const asked = deferred<Socket>()
  app.get('/', request => {
    asked.resolve(request.raw.socket)
    return new Promise(() => {})
  })
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  const socket = await asked.promise
  const { remotePort } = socket
  const drained = app.drain.begin('test')
  socket.destroy(timedOut())
  const { connections, stragglers } = await drained
  t.match(connections, { total: 1, 'peer-lost': 1 })
  t.match(stragglers, [{
    remoteAddress: '127.0.0.1', remotePort, state: 'active', outcome: 'peer-lost', error: 'ETIMEDOUT', unacknowledgedBytes: null
  }])
})
