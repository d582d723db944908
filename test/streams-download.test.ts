import t from 'tap'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { servers, streamApp, type ServerName, type Stream } from './helpers/streams.ts'

const size = 24 * 1024 * 1024

let file = ''
t.before(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rm(folder, { recursive: true }))
  file = join(folder, 'large')
  await writeFile(file, Buffer.alloc(size, 'a'))
})

async function readSlowly ({ body }: Stream): Promise<void> {
  for (let pause = 0; pause < 10; pause++) {
    body.resume()
    await sleep(5)
    body.pause()
    await sleep(20)
  }
  body.resume()
}

for (const name of Object.keys(servers) as ServerName[]) {
  t.test(`row 6: ${name}: large downloads with a slow reader arrive whole, whatever their route says of streams`, async t => {
    const config = { drain: { endStreams: 'begin', contentTypes: ['text/event-stream', 'application/octet-stream'] } } as const
    const { app, open } = await streamApp(t, name, {}, app => {
      app.get('/nothing', (_request, reply) => { reply.send(createReadStream(file)) })
      app.get('/chunked', { config: { drain: { endStreams: 'begin' } } }, (_request, reply) => { reply.type('application/octet-stream').send(createReadStream(file)) })
      app.get('/length', { config }, (_request, reply) => {
        reply.type('application/octet-stream').header('content-length', size).send(createReadStream(file))
      })
    })
    const streams = await Promise.all(['/nothing', '/chunked', '/length'].map(path => open(path, { paused: true })))
    const closing = app.drain.begin('test')
    await Promise.all(streams.map(readSlowly))
    for (const stream of streams) {
      t.equal(await stream.ended, 'complete', stream.path)
      t.equal(stream.text.length, size, stream.path)
    }
    const report = await closing
    t.equal(report.connections.cut, 0)
    t.equal(report.requests.served, 3)
  })
}
