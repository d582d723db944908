import t from 'tap'
import { eventually } from './helpers/app.ts'
import { tlsOptions } from './helpers/tls.ts'
import { connectRequest, tunnelApp, tunnelClient } from './helpers/tunnel.ts'

const polite = { cut: 0, 'timed-out': 0, destroyed: 0, 'peer-lost': 0 }

for (const [name, server, secure] of [['http', {}, false], ['https', { https: tlsOptions }, true]] as const) {
  t.test(`row 25, ${name}: a tunnel goes on in both directions until its owner ends it`, async t => {
    const rest = 'r'.repeat(1_000_000)
    const { app, to, tunnels } = await tunnelApp(t, { server, rest })
    const client = await tunnelClient(t, to, secure)
    client.write(connectRequest)
    await client.until(/hello $/)
    t.match(app.drain.connections, { upgraded: 1, active: 0 })
    const draining = app.drain.begin('test')
    await eventually(() => app.drain.phase === 'draining', 'the phase draining')
    for (const word of ['one', 'two']) {
      client.write(word)
      await client.until(new RegExp(`${word}$`))
    }
    t.match(app.drain.connections, { upgraded: 1 })
    // Node closes the whole TLS connection when its peer has closed one half.
    if (secure) tunnels[0]?.upstream.end()
    else client.halfClose()
    await client.end()
    t.ok(client.received.endsWith(`hello onetwo${rest}`), 'everything has arrived')
    if (secure) client.halfClose()
    t.equal(await client.closed(), null, 'no RST')
    t.match((await draining).connections, { total: 1, ...polite })
  })

  t.test(`row 25, ${name}: what a closer sets off arrives as a whole, even if the client is slow to read, then comes FIN`, async t => {
    const rest = 'r'.repeat(5_000_000)
    const { app, to, tunnels } = await tunnelApp(t, {
      server,
      rest,
      onTunnel: (app, { socket, upstream }) => app.drain.onUpgradeClose(socket, () => upstream.end('quit '))
    })
    const client = await tunnelClient(t, to, secure)
    client.write(connectRequest)
    await client.until(/hello $/)
    client.pause()
    const draining = app.drain.begin('test')
    // In time to be forwarded, too.
    client.write('last ')
    await eventually(() => tunnels[0]?.socket.writableNeedDrain === true, 'the client holds everything up')
    client.resume()
    await client.end()
    t.match(client.received, /hello (last |)quit (last |)r/)
    t.ok(client.received.endsWith(rest), 'everything has arrived')
    client.halfClose()
    t.equal(await client.closed(), null, 'no RST')
    t.match((await draining).connections, { total: 1, ...polite })
  })

  t.test(`${name}: a closer that never ends its socket is waited for until the deadline, and named`, async t => {
    const { app, to } = await tunnelApp(t, {
      server, hardStopAfter: 400, onTunnel: (app, { socket }) => app.drain.onUpgradeClose(socket, () => {})
    })
    const client = await tunnelClient(t, to, secure)
    client.write(connectRequest)
    await client.until(/hello $/)
    const report = await app.drain.begin('test')
    t.match(report.connections, { total: 1, cut: 1 })
    t.match(report.stragglers, [{ state: 'upgraded', outcome: 'cut' }])
    t.ok(report.duration >= 399, `${report.duration} ms`)
  })
}

t.test('a tunnel without a closer is waited for until the deadline, and named', async t => {
  const { app, to } = await tunnelApp(t, { hardStopAfter: 400 })
  const client = await tunnelClient(t, to)
  client.write(connectRequest)
  await client.until(/hello $/)
  const report = await app.drain.begin('test')
  t.match(report.connections, { total: 1, cut: 1 })
  t.match(report.stragglers, [{ state: 'upgraded', outcome: 'cut' }])
})
