import t from 'tap'
import { eventually } from './helpers/app.ts'
import { connectRequest, tunnelApp, tunnelClient } from './helpers/tunnel.ts'

const polite = { cut: 0, 'timed-out': 0, destroyed: 0, 'peer-lost': 0 }

t.test('closers are called once each, spread over closeSpread, and none before the phase draining', async t => {
  const called: Array<{ at: number, phase: string }> = []
  let began = 0
  const { app, to } = await tunnelApp(t, {
    closeSpread: 600,
    shutdownDelay: 200,
    onTunnel: (app, { socket }) => app.drain.onUpgradeClose(socket, () => {
      called.push({ at: performance.now() - began, phase: app.drain.phase })
      socket.end()
    })
  })
  const clients = await Promise.all(Array.from({ length: 4 }, () => tunnelClient(t, to)))
  for (const client of clients) {
    client.write(connectRequest)
    await client.until(/hello $/)
  }
  began = performance.now()
  const [report] = await Promise.all([
    app.drain.begin('test'),
    app.close(),
    ...clients.map(client => client.end().then(() => client.halfClose()))
  ])
  t.equal(called.length, 4)
  called.forEach(({ at, phase }, i) => {
    t.equal(phase, 'draining')
    t.ok(at >= 200 + i * 150 - 2, `number ${i} after ${at} ms`)
  })
  t.match(report.connections, { total: 4, ...polite })
})

t.test('a closer that fails is logged, and keeps nobody from anything', async t => {
  let calls = 0
  const { app, to, tunnels, logged } = await tunnelApp(t, {
    onTunnel: (app, { socket }) => app.drain.onUpgradeClose(socket, () => {
      calls++
      if (calls === 1) throw new Error('at once')
      return calls === 2 ? Promise.reject(new Error('later')) : socket.end('bye')
    })
  })
  const clients = await Promise.all(Array.from({ length: 3 }, () => tunnelClient(t, to)))
  for (const client of clients) {
    client.write(connectRequest)
    await client.until(/hello $/)
  }
  const draining = app.drain.begin('test')
  await eventually(() => calls === 3, 'all were called')
  await clients.at(-1)?.until(/bye$/)
  for (const { socket } of tunnels.slice(0, 2)) socket.end()
  for (const client of clients) client.halfClose()
  t.match((await draining).connections, { total: 3, ...polite })
  t.equal(logged.filter(line => /onUpgradeClose|upgraded socket|closer/.test(line)).length, 2, logged.join('\n'))
})

t.test('row 16: http: a closer that is registered during the drain is called at once', async t => {
  const called: string[] = []
  const { app, to } = await tunnelApp(t, {
    idleGrace: 4000,
    onTunnel: (app, { socket }) => app.drain.onUpgradeClose(socket, () => {
      called.push(app.drain.phase)
      socket.end('HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n')
    })
  })
  const client = await tunnelClient(t, to)
  await eventually(() => app.drain.connections.new === 1, 'the connection is known')
  const draining = app.drain.begin('test')
  await eventually(() => app.drain.phase === 'draining' && !app.server.listening, 'the listener is closed')
  client.write(connectRequest)
  await client.until(/503/)
  await client.end()
  client.halfClose()
  t.equal(await client.closed(), null)
  t.same(called, ['draining'])
  t.match((await draining).connections, { total: 1, ...polite })
})

t.test('a client that resets a tunnel during the drain harms nothing, and its closer is not called after that', async t => {
  let calls = 0
  const { app, to, tunnels } = await tunnelApp(t, { shutdownDelay: 300, onTunnel: (app, { socket }) => app.drain.onUpgradeClose(socket, () => { calls++ }) })
  const client = await tunnelClient(t, to)
  client.write(connectRequest)
  await client.until(/hello $/)
  const draining = app.drain.begin('test')
  client.reset()
  await eventually(() => tunnels[0]?.socket.destroyed === true, 'the RST has arrived')
  t.match((await draining).connections, { total: 1, 'peer-closed': 1 })
  t.equal(calls, 0)
})
