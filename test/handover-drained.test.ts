import t from 'tap'
import { holds, startService } from './helpers/handover.ts'
import { http1Client } from './helpers/http1-client.ts'
import { http2Client, type Http2Client } from './helpers/http2-client.ts'
import { request } from './helpers/raw-client.ts'
import { client as webSocketClient } from './helpers/websocket.ts'
import { plainWire, secureWire, type Wire } from './helpers/wire.ts'

const host = '127.0.0.1'
const listen = { host, port: 0 }
const options = { idleGrace: 100, peerCloseTimeout: 100 }

t.test('what cannot move is drained by the old process while the rest moves', async t => {
  const service = await startService(t, {
    apps: [
      { options, listen, webSocket: true },
      { options, listen, tls: true },
      { options, listen, server: { http2: true } },
      { options, listen, tls: true, server: { http2: true } },
      { options, listen, tls: true, server: { http2: true, https: { allowHTTP1: true } } }
    ]
  })
  const [http, https, h2c, h2, mixed] = [0, 1, 2, 3, 4].map(app => service.address(app)) as Array<{ host: string, port: number }>
  const old = await service.generation(0)

  const plain = await plainWire(t, http!)
  const socket = await webSocketClient(t, http!, { path: '/ws' })
  socket.socket.send('before')
  await socket.until(`${old.pid} before`)
  const events = await plainWire(t, http!)
  events.write(request('/events'))
  await events.until(() => events.received.includes(`data: ${old.pid}`), 'the first event')
  const tunnel = await plainWire(t, http!)
  tunnel.write('CONNECT there:80 HTTP/1.1\r\nhost: there:80\r\n\r\n')
  await tunnel.until(() => tunnel.received.endsWith('\r\n\r\n'), 'the tunnel')
  tunnel.write('hello')
  await tunnel.until(() => tunnel.received.includes(`${old.pid} hello`), 'the echo of the tunnel')
  const secure = await secureWire(t, https!)
  const plainSession = await plainWire(t, h2c!)
  const secureSession = await secureWire(t, h2!, { ALPNProtocols: ['h2'] })
  const secureMixed = await secureWire(t, mixed!, { ALPNProtocols: ['http/1.1'] })
  await Promise.all([secure.secured, secureSession.secured, secureMixed.secured])
  const sessions = [plainSession, secureSession].map(wire => http2Client(wire)) as [Http2Client, Http2Client]
  const clients = [http1Client(plain), http1Client(secure), http1Client(secureMixed), ...sessions]
  for (const client of clients) t.equal(await ask(client), old.pid)
  const open = sessions.map((session, i) => session.ask(`/held/${i}`))
  for (const i of ['0', '1']) await old.tells('held', { id: i })
  // Connections without a handshake.
  const silent = await Promise.all([https!, h2!, mixed!].map(to => plainWire(t, to)))

  const [, successor] = await service.handOver()
  t.equal(await ask(clients[0]!), successor.pid, 'HTTP/1.1 in plain text moves')
  await socket.closed.then(({ code }) => t.equal(code, 1001))
  t.notOk(old.hasEnded)
  await events.until(() => events.received.endsWith('\r\n0\r\n\r\n'), 'the end of the events')
  t.match(events.received, /data: bye/, 'the signal of the drain ends an event stream')
  await Promise.all([tunnel, secure, secureMixed, ...silent].map(ended))
  t.ok(tunnel.received.endsWith('bye'), 'its closer says goodbye in the tunnel')
  await sessions[0].wire.until(() => sessions[0].goaways.length > 0, 'the shutdown notice')
  for (const i of ['0', '1']) old.order('release', { id: i })
  for (const exchange of open) t.equal(JSON.parse((await exchange.answer()).body).pid, old.pid, 'an open stream is finished')
  await Promise.all(sessions.map(({ wire }) => ended(wire)))
  for (const session of sessions) t.equal(session.goaways.at(-1)?.code, 0)
  t.equal(await old.ended, 0)

  for (const app of [0, 1, 2, 3, 4]) {
    const { report } = await old.tells('report', { app })
    t.match(report, { reason: 'handover', connections: { cut: 0, 'handed-over': app === 0 ? 2 : 0 }, stragglers: [] })
    t.same(report.phases.map(({ phase }: { phase: string }) => phase), ['lame-duck', 'draining', 'closed'])
  }
  const again = await secureWire(t, https!)
  t.equal(await ask(http1Client(again)), successor.pid, 'the listeners have moved, too')
  await holds(successor.pid, http!.port, 2)
  t.equal(await ask(http1Client(events)), successor.pid, 'and whoever has seen the end of its events')
})

async function ask (client: ReturnType<typeof http1Client> | Http2Client): Promise<number> {
  return JSON.parse((await client.ask('/').answer()).body).pid
}

/** Our FIN, without RST. */
async function ended ({ raw }: Wire): Promise<void> {
  await raw.fin()
  raw.halfClose()
  const error = await raw.closed()
  if (error !== null) throw new Error(`it ended by ${error}`)
}
