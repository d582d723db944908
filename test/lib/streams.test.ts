import t from 'tap'
import { once } from 'node:events'
import http, { type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { Moments } from '../../lib/moments.ts'
import type { RouteSettings } from '../../lib/route-options.ts'
import { Streams } from '../../lib/streams.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { answers, rawClient, request, type RawClient } from '../helpers/raw-client.ts'

interface Teardown { teardown (fn: () => unknown): void }

const settings: RouteSettings = { endStreams: 'begin', contentTypes: ['text/event-stream'] }

/** Streams on a clock that is moved by hand, and a server whose answers they watch. */
async function streamsByHand (t: Teardown, options: Partial<RouteSettings> = {}, closeSpread = 0) {
  const clock = new FakeClock()
  const moments = new Moments()
  const streams = new Streams({ clock, closeSpread, signalAt: moment => moments.signalAt(moment), random: () => 0.5 })
  const watch = streams.watcher({ ...settings, ...options })
  const server = http.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close(); server.closeAllConnections() })
  const ask = async (): Promise<{ answer: ServerResponse, client: RawClient, message: object }> => {
    const client = await rawClient(t, { host: '127.0.0.1', port: (server.address() as AddressInfo).port })
    client.write(request('/', { headers: { connection: 'close' } }))
    const [message, answer] = await once(server, 'request')
    watch(message, answer)
    return { answer, client, message }
  }
  const pass = async (): Promise<void> => { await clock.pass(0) }
  return { clock, moments, streams, ask, pass }
}

function events (answer: ServerResponse, ...chunks: string[]): void {
  answer.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const chunk of chunks) answer.write(chunk)
}

const end = '0\r\n\r\n'

t.test('a stream ends a turn after its moment', async t => {
  const { clock, moments, ask, pass } = await streamsByHand(t, { retry: [1000, 3001] })
  const { answer, client } = await ask()
  events(answer, 'data: 1\n\n')
  moments.reached('begin', 'test')
  t.notOk(answer.writableEnded, 'who listens to the signal has the first word')
  await pass()
  t.ok(answer.writableEnded)
  await client.fin()
  t.match(client.received, `data: 1\n\n\r\nd\r\nretry: 2001\n\n\r\n${end}`)
  t.equal(clock.timers, 0)
})

t.test('a number is told as it is, and 0 means at once', async t => {
  const { moments, ask, pass } = await streamsByHand(t, { retry: 0 })
  const { answer, client } = await ask()
  events(answer, 'data: 1\n\n')
  moments.reached('begin', 'test')
  await pass()
  await client.fin()
  t.match(client.received, 'retry: 0\n\n')
})

t.test('what the handler writes and ends between our end and the last byte is dropped, and its callbacks are called', async t => {
  const { moments, ask, pass } = await streamsByHand(t)
  const { answer, client } = await ask()
  events(answer, 'data: 1\n\n')
  moments.reached('begin', 'test')
  const errors: unknown[] = []
  answer.on('error', error => errors.push(error))
  answer.once('prefinish', () => {
    t.ok(answer.write('data: 2\n\n'), 'nobody waits for a drain that does not come')
    answer.write('data: 3\n\n', error => errors.push(error))
    answer.write('data: 4\n\n', 'utf8', error => errors.push(error))
    t.equal(answer.end('data: 5\n\n', () => errors.push('end')), answer)
    t.equal(answer.end(), answer)
  })
  await pass()
  answer.end(() => errors.push('late end'))
  await client.fin()
  await pass()
  t.match(errors, [{ code: 'FST_DRAIN_DRAINING' }, { code: 'FST_DRAIN_DRAINING' }, 'end', 'late end'])
  t.match(client.received, new RegExp(`data: 1\n\n\r\n${end}$`))
})

t.test('an event that is half written is waited for, for a second', async t => {
  const { clock, moments, ask, pass } = await streamsByHand(t, { retry: 5 })
  const asked = [await ask(), await ask(), await ask()]
  const [patient, rest, both] = asked.map(({ answer }) => answer) as [ServerResponse, ServerResponse, ServerResponse]
  for (const { answer } of asked) events(answer, 'data: 1\n\ndata: 2')
  moments.reached('begin', 'test')
  await pass()
  moments.reached('deadline', 'test')
  await pass()
  rest.write(Buffer.from('\nid: 2'))
  await clock.pass(999)
  for (const { answer } of asked) t.notOk(answer.writableEnded)
  let called = false
  rest.write('\n\ndata: 3\n\n', () => { called = true })
  t.ok(rest.writableEnded)
  both.write('2', 'utf8')
  await clock.pass(1)
  t.ok(patient.writableEnded)
  for (const { client } of asked) await client.fin()
  const bodies = asked.map(({ client }) => answers(client.received)[0]?.body)
  t.same(bodies, ['data: 1\n\ndata: 2\nretry: 5\n', 'data: 1\n\ndata: 2\nid: 2\n\nretry: 5\n\n', 'data: 1\n\ndata: 22\nretry: 5\n'])
  t.ok(called)
  t.equal(clock.timers, 0)
})

t.test('nothing is left of a stream that is over', async t => {
  const { clock, moments, ask, pass } = await streamsByHand(t)
  const { answer, client } = await ask()
  events(answer, 'data: hal')
  moments.reached('begin', 'test')
  await pass()
  t.equal(clock.timers, 1)
  client.reset()
  await once(answer, 'close')
  t.equal(clock.timers, 0)
})

t.test('an answer that its handler or its client ended is left alone', async t => {
  const { clock, moments, ask, pass } = await streamsByHand(t, { retry: 5 })
  const asked = [await ask(), await ask()]
  for (const { answer } of asked) events(answer, 'data: hal')
  moments.reached('begin', 'test')
  await pass()
  asked[0]?.answer.end('f\n\n')
  asked[1]?.answer.destroy()
  const errors: unknown[] = []
  for (const { answer } of asked) answer.on('error', error => errors.push(error))
  // Before anything has told us of their ends.
  clock.advance(1000)
  await pass()
  t.same(errors, [])
  await asked[0]?.client.fin()
  t.notMatch(asked[0]?.client.received, 'retry')
  await asked[1]?.client.fin()
})

t.test('one that has no head yet is ended when it has one', async t => {
  const { moments, ask, pass } = await streamsByHand(t)
  const { answer, client } = await ask()
  moments.reached('begin', 'test')
  await pass()
  events(answer, 'data: 1\n\n', 'data: 2\n\n')
  t.notOk(answer.writableEnded)
  await pass()
  t.ok(answer.writableEnded)
  await client.fin()
  t.match(client.received, 'data: 2')
})

t.test('streams that begin after their moment have the next one', async t => {
  const { moments, streams, ask, pass } = await streamsByHand(t)
  const before = await ask()
  t.equal(streams.signalOf(before.message), moments.signalAt('begin'))
  moments.reached('begin', 'test')
  await pass()
  const { answer, message } = await ask()
  t.equal(streams.signalOf(message), moments.signalAt('draining'))
  events(answer, 'data: 1\n\n')
  await pass()
  t.notOk(answer.writableEnded)
  moments.reached('draining', 'test')
  await pass()
  t.ok(answer.writableEnded)
  const last = await ask()
  events(last.answer, 'data: 1\n\n')
  await pass()
  t.ok(last.answer.writableEnded)
  t.equal(streams.signalOf({}), moments.signalAt('begin'), 'a request of another route')
})

t.test("those of 'deadline' are not touched", async t => {
  const { moments, streams, ask, pass } = await streamsByHand(t, { endStreams: 'deadline' })
  const { answer, message } = await ask()
  t.notOk(Object.hasOwn(answer, 'write'))
  events(answer, 'data: 1\n\n')
  moments.reached('begin', 'test')
  t.notOk(streams.signalOf(message).aborted)
  moments.reached('deadline', 'test')
  t.ok(streams.signalOf(message).aborted)
  await pass()
  t.notOk(answer.writableEnded)
})

t.test('the ends are spread, at most 64 per turn; close() waits for none', async t => {
  const { clock, moments, streams, ask } = await streamsByHand(t, {}, 1000)
  const asked = [await ask(), await ask(), await ask(), await ask()]
  for (const { answer } of asked) events(answer, 'data: 1\n\n')
  const ended = (): number => asked.filter(({ answer }) => answer.writableEnded).length
  moments.reached('begin', 'test')
  const seen: number[] = []
  for (let i = 0; i < 3; i++) {
    await clock.pass(i === 0 ? 0 : 250)
    seen.push(ended())
  }
  t.same(seen, [1, 2, 3])
  streams.close()
  t.equal(ended(), 4)
  t.equal(clock.timers, 0)
})

t.test('a source that is piped into the answer is let go of', async t => {
  const { moments, ask, pass } = await streamsByHand(t)
  const { answer, client } = await ask()
  const [source, other] = [new PassThrough(), new PassThrough()]
  answer.setHeader('content-type', 'text/event-stream')
  for (const stream of [source, other]) stream.pipe(answer, { end: false })
  other.unpipe(answer)
  source.write('data: 1\n\n')
  await client.until(/data: 1/)
  moments.reached('begin', 'test')
  let piped = -1
  answer.once('prefinish', () => { piped = source.listenerCount('data') })
  await pass()
  t.equal(piped, 0, 'at once')
  t.ok(source.isPaused())
  source.write('data: 2\n\n')
  await client.fin()
  t.notMatch(client.received, 'data: 2')
})

t.test('a head that Node keeps elsewhere is read by its documented means', async t => {
  const { moments, ask, pass } = await streamsByHand(t)
  const { answer } = await ask()
  answer.setHeader('Content-Type', 'text/event-stream')
  // An underscore property of Node may look different one day.
  Object.defineProperty(answer, '_header', { value: {}, configurable: true, writable: true })
  moments.reached('begin', 'test')
  await pass()
  t.ok(answer.writableEnded)
})
