import t from 'tap'
import { once } from 'node:events'
import http2, { type ClientHttp2Session } from 'node:http2'
import tls from 'node:tls'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { http2Get, http2Preface, http2SettingsAck } from './helpers/http2-bytes.ts'
import { collectFrames, frameTypes, goawaysOf } from './helpers/http2-frames.ts'
import { rawClient } from './helpers/raw-client.ts'
import { tlsOptions } from './helpers/tls.ts'

const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

t.test('http2SessionTimeout ends an idle session in normal operation, and a peer that never closes is not waited for', async t => {
  const { app, listen } = await testApp(t, { lingerTimeout: 200 }, { http2: true, http2SessionTimeout: 300 } as object)
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  const frames = collectFrames(client)
  client.write(Buffer.concat([http2Preface(), http2SettingsAck(), http2Get('/')]))
  await eventually(() => frames.some(({ type }) => type === frameTypes.DATA), 'it was answered')
  await client.fin()
  t.match(goawaysOf(frames).at(-1), { last: 1, code: 0 })
  t.equal(app.drain.connections.lingering, 1)
  await eventually(() => app.drain.connections.lingering === 0, 'it was closed')
  t.equal(client.error, null)
})

t.test('http2SessionTimeout lets the open stream of a session finish, in a drain too', async t => {
  const { app, listen } = await testApp(t, {}, { http2: true, http2SessionTimeout: 200 } as object)
  const open = deferred<(body: string) => void>()
  app.get('/open', (_request, reply) => { open.resolve(body => { reply.send(body) }) })
  const { port } = await listen()
  const session = http2.connect(`http://127.0.0.1:${port}`)
  t.teardown(() => session.destroy())
  const stream = session.request({ ':path': '/open' }).setEncoding('utf8')
  const finish = await open.promise
  const draining = app.drain.begin('test')
  await new Promise(resolve => setTimeout(resolve, 400))
  finish('whole')
  t.same(await stream.toArray(), ['whole'])
  t.match((await draining).connections, { total: 1, cut: 0, 'timed-out': 0 })
})

for (const [protocol, connect] of [
  ['HTTP/2', async (port: number) => {
    const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
    await once(session, 'remoteSettings')
    return session
  }],
  ['HTTP/1.1', async (port: number) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    await once(socket, 'secureConnect')
    socket.write('GET / HTTP/1.1\r\nhost: test\r\n\r\n')
    socket.resume()
    return socket
  }]
] as const) {
  t.test(`secure h2: a server's own timeout ends what is idle, with a client of ${protocol}`, async t => {
    const { app, listen } = await testApp(t, {}, { http2: true, https: { ...tlsOptions, allowHTTP1: true }, connectionTimeout: 200, http2SessionTimeout: 200 } as object)
    app.get('/', async () => 'hello')
    Object.assign(app.server, { keepAliveTimeout: 200 })
    const client: ClientHttp2Session | tls.TLSSocket = await connect((await listen()).port)
    client.on('error', () => {})
    t.teardown(() => { client.destroy() })
    await once(client, 'close')
    await eventually(() => app.drain.connections.idle + app.drain.connections.lingering === 0, 'it was closed')
    t.same(app.drain.connections, none)
  })
}
