import t from 'tap'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { isFlushed } from '../lib/os/descriptor.ts'
import { deferred, eventually, testApp } from './helpers/app.ts'
import { http2Get, http2Preface, http2SettingsAck } from './helpers/http2-bytes.ts'
import { collectFrames, frameTypes, goawaysOf, pingAck } from './helpers/http2-frames.ts'
import { rawClient } from './helpers/raw-client.ts'
import { skip } from './helpers/unit-native.ts'

const notice = { last: 2 ** 31 - 1, code: 0 }

t.test('row 26: h2c: a session whose send buffers are full gets the notice when its peer reads, between two frames', { skip }, async t => {
  const { app, listen } = await testApp(t, { hardStopAfter: 20_000 }, { http2: true } as object)
  const size = 24 * 2 ** 20
  const opened = deferred<NodeJS.WritableStream>()
  app.get('/large', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200)
    opened.resolve(reply.raw)
  })
  app.get('/small', async () => 'small')
  const to = await listen()
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const client = await rawClient(t, to)
  const frames = collectFrames(client)
  const [socket] = await accepted
  client.write(Buffer.concat([http2Preface(), http2Get('/large')]))
  await eventually(() => frames.some(({ type }) => type === frameTypes.SETTINGS), 'SETTINGS came')
  client.write(http2SettingsAck())
  const large = await opened.promise

  // More than the kernel takes for a peer that does not read: the rest waits in libuv.
  client.socket.pause()
  large.write(Buffer.alloc(size, 'x'))
  await eventually(() => !isFlushed(socket), 'the queue was full')

  const draining = app.drain.begin('test')
  await new Promise(resolve => setTimeout(resolve, 300))
  t.same(goawaysOf(frames), [])
  client.socket.resume()
  // The PING behind the data, which asks whether it was read.
  await eventually(() => frames.some(({ type, flags }) => type === frameTypes.PING && flags === 0), 'a PING came')
  t.same(goawaysOf(frames), [], 'nothing was squeezed in before')
  const [first] = frames.filter(({ type }) => type === frameTypes.PING)
  client.write(pingAck(first!))
  await eventually(() => goawaysOf(frames).length === 1, 'the notice came')
  t.same(goawaysOf(frames), [notice])

  // It refuses nothing.
  client.write(http2Get('/small', 3))
  await eventually(() => frames.some(({ type, stream }) => type === frameTypes.DATA && stream === 3), 'the crossing stream was answered')
  await eventually(() => frames.filter(({ type }) => type === frameTypes.PING).length === 2, 'the PING behind the notice came')
  client.write(pingAck(frames.filter(({ type }) => type === frameTypes.PING)[1]!))
  await eventually(() => goawaysOf(frames).length === 3, 'the final GOAWAY came')
  t.same(goawaysOf(frames), [notice, notice, { last: 3, code: 0 }])
  large.end('end')
  await client.fin()
  client.halfClose()

  t.ok(frames.every(({ type }) => type <= 9), 'every frame is whole')
  const received = frames.filter(({ type, stream }) => type === frameTypes.DATA && stream === 1).map(({ payload }) => payload)
  t.equal(Buffer.concat(received).length, size + 3)
  t.match((await draining).connections, { total: 1, 'half-closed': 1, cut: 0 })
})
