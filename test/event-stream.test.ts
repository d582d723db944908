import t from 'tap'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { deferred, testApp } from './helpers/app.ts'
import { rawClient, request } from './helpers/raw-client.ts'

t.test('a silent event stream ends when its reader closes, as it does without the plugin', async t => {
  const { app, listen } = await testApp(t)
  const opened = deferred<ServerResponse>()
  app.get('/events', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'Content-Type': 'text/event-stream' })
    reply.raw.write(': hello\n\n')
    opened.resolve(reply.raw)
  })
  const client = await rawClient(t, await listen())
  client.write(request('/events'))
  await client.until(/hello/)
  const closed = once(await opened.promise, 'close')
  client.halfClose()
  await closed
  await client.fin()
  t.equal(app.drain.connections.active, 0)
})

t.test('an answer of another type goes on when the client half-closes in the middle of it', async t => {
  const { app, listen } = await testApp(t)
  const opened = deferred<ServerResponse>()
  app.get('/text', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'Content-Type': 'text/plain' })
    reply.raw.write('one')
    opened.resolve(reply.raw)
  })
  const client = await rawClient(t, await listen())
  client.write(request('/text'))
  await client.until(/one/)
  const answer = await opened.promise
  const ended = once(answer.socket as NonNullable<typeof answer.socket>, 'end')
  client.halfClose()
  await ended
  answer.end('two')
  await client.until(/two/)
  await client.fin()
  t.equal(await client.closed(), null, 'no RST')
})
