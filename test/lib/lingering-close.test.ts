import t from 'tap'
import { once } from 'node:events'
import { lingeringClose, type LingeringClose } from '../../lib/lingering-close.ts'
import { eventually } from '../helpers/app.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { discardAll, socketPair } from '../helpers/socket-pair.ts'
import { never } from '../helpers/unit-env.ts'

async function setUp (t: { teardown (fn: () => unknown): void }) {
  const { socket, client } = await socketPair(t)
  discardAll(socket)
  const clock = new FakeClock()
  const events: string[] = []
  const closed = new Promise<void>(resolve => {
    socket.on('close', () => { events.push('closed'); resolve() })
  })
  const close = (options: Partial<LingeringClose> = {}) => lingeringClose(socket, {
    peerCloseTimeout: 0,
    times: never,
    clock,
    unacknowledged: () => null,
    inFlight: () => null,
    onHalfClose: () => { events.push('half-close') },
    onTimeout: () => { events.push('timeout') },
    ...options
  })
  return { socket, client, clock, events, closed, close }
}

t.test('what was written is flushed, then comes the FIN, then what arrives is discarded, then the socket is closed', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  socket.write('goodbye')
  close()
  t.same(events, ['half-close'])
  await client.fin()
  t.equal(client.received, 'goodbye')

  client.write('x'.repeat(1_000_000))
  await eventually(() => socket.bytesRead === 1_000_000, 'everything was read')
  t.notOk(socket.destroyed, 'it waits for the FIN of the peer')
  client.halfClose()
  await closed
  t.equal(await client.closed(), null, 'no RST')
  t.same(events, ['half-close', 'closed'])
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('row 6: the limits count from our FIN, not while a slow reader still drains the answer', async t => {
  const { socket, client, clock, events, close } = await setUp(t)
  client.socket.pause()
  const body = Buffer.alloc(16_000_000, 'x')
  socket.write(body)
  close({ times: { lingerTimeout: 50, lingerTime: 50 } })
  await new Promise(resolve => setTimeout(resolve, 200))
  t.ok(socket.writableLength > 0, 'the answer is stuck')
  t.equal(clock.timers, 0)
  t.same(events, ['half-close'])

  client.socket.resume()
  await client.fin()
  t.equal(client.received.length, body.length)
})

t.test('the peer may close first', async t => {
  const { client, clock, events, closed, close } = await setUp(t)
  close({ peerCloseTimeout: 250 })
  t.equal(clock.timers, 1)
  client.halfClose()
  await client.fin()
  await closed
  t.equal(await client.closed(), null)
  t.same(events, ['closed'], 'its FIN came before ours')
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('a peer that does not close first gets our FIN after peerCloseTimeout', async t => {
  const { client, clock, events, closed, close } = await setUp(t)
  close({ peerCloseTimeout: 250 })
  clock.advance(249)
  t.same(events, [])
  t.notOk(client.sawFin)
  clock.advance(1)
  t.same(events, ['half-close'])
  await client.fin()
  client.halfClose()
  await closed
  t.equal(clock.timers, 0)
})

t.test('row 6: a slow reader whose FIN comes after ours may still drain the answer', async t => {
  const { socket, client, clock, events, close } = await setUp(t)
  client.socket.pause()
  socket.write(Buffer.alloc(16_000_000, 'x'))
  close({ peerCloseTimeout: 250 })
  clock.advance(250)
  t.same(events, ['half-close'])
  client.halfClose()
  await once(socket, 'end')
  t.ok(socket.writableLength > 0, 'the answer is stuck')
  t.equal(clock.timers, 0)

  client.socket.resume()
  await client.fin()
  t.equal(client.received.length, 16_000_000)
})

t.test('where the peer has closed already our FIN follows at once', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  client.halfClose()
  await once(socket, 'end')
  close({ peerCloseTimeout: 250 })
  await client.fin()
  await closed
  t.same(events, ['closed'])
  t.equal(clock.timers, 0)
})

t.test('row 8: a peer that stays silent after our FIN is closed at lingerTimeout', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  close({ times: { lingerTimeout: 100, lingerTime: 600_000 } })
  await client.fin()
  await closed
  t.ok(socket.destroyed)
  t.same(events, ['half-close', 'timeout', 'closed'])
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('row 9: a peer that trickles bytes is closed at lingerTime', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  close({ times: { lingerTimeout: 600_000, lingerTime: 5000 } })
  await client.fin()
  await eventually(() => clock.timers === 1, 'the total counts')
  clock.advance(4999)
  client.write('x')
  await eventually(() => socket.bytesRead === 1, 'a byte was read')
  t.same(events, ['half-close'])
  clock.advance(1)
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
})

t.test('bytes break the silence', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  close({ times: { lingerTimeout: 500, lingerTime: 600_000 } })
  const trickle = setInterval(() => client.write('x'), 20)
  t.teardown(() => clearInterval(trickle))
  await new Promise(resolve => setTimeout(resolve, 900))
  t.notOk(socket.destroyed)
  clearInterval(trickle)
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
  t.equal(clock.timers, 0)
})

t.test('a socket that is gone already stays so, and nothing is waited for', async t => {
  const { socket, clock, events, closed, close } = await setUp(t)
  socket.destroy()
  await closed
  close()
  t.equal(clock.timers, 0)
  close({ peerCloseTimeout: 250 })
  clock.advance(250)
  t.equal(clock.timers, 0)
  t.same(events, ['closed'])
})

t.test('a socket that goes while the peer may close first leaves no timer behind', async t => {
  const { socket, clock, events, closed, close } = await setUp(t)
  close({ peerCloseTimeout: 250 })
  socket.destroy()
  await closed
  t.equal(clock.timers, 0)
  t.same(events, ['closed'])
})

t.test('a limit that ends when the socket is gone already ends nothing', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  close({ times: { lingerTimeout: 600_000, lingerTime: 5000 } })
  await client.fin()
  await eventually(() => clock.timers === 1, 'the total counts')
  socket.destroy()
  clock.advance(5000)
  await closed
  t.same(events, ['half-close', 'closed'])
})

t.test('a socket that goes before everything was flushed is not waited for', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  client.socket.pause()
  socket.write(Buffer.alloc(16_000_000, 'x'))
  close()
  socket.destroy()
  await closed
  t.equal(clock.timers, 0)
  t.same(events, ['half-close', 'closed'])
})

t.test('where our FIN is out already only the wait for the peer is left', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  socket.end()
  await client.fin()
  close({ times: { lingerTimeout: 600_000, lingerTime: 5000 } })
  t.same(events, ['half-close'])
  clock.advance(5000)
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
})

for (const when of ['before', 'after'] as const) {
  t.test(`a peer that resets ${when} our FIN ends the wait without an error`, async t => {
    const { socket, client, clock, events, closed, close } = await setUp(t)
    close({ peerCloseTimeout: when === 'before' ? 250 : 0 })
    if (when === 'after') await client.fin()
    client.reset()
    await closed
    t.match(socket.errored, { code: 'ECONNRESET' })
    t.notMatch(events, ['timeout'])
    t.equal(clock.timers, 0)
  })
}

t.test('an earlier timeout of the socket does not end the wait', async t => {
  const { socket, clock, events, close } = await setUp(t)
  let timeouts = 0
  socket.setTimeout(50, () => { timeouts++ })
  close({ peerCloseTimeout: 250 })
  await new Promise(resolve => setTimeout(resolve, 150))
  t.equal(timeouts, 0)
  t.same(events, [])
  t.equal(clock.timers, 1)
})

/** Both FINs are exchanged, and the peer has not acknowledged `left()` bytes: so the test says. */
async function halfClosedByBoth (t: { teardown (fn: () => unknown): void }, left: () => number | null, times = never) {
  const all = await setUp(t)
  let asked = 0
  all.close({ times, unacknowledged: () => { asked++; return left() } })
  await all.client.fin()
  const finished = once(all.socket, 'end')
  all.client.halfClose()
  await finished
  await new Promise(resolve => setImmediate(resolve))
  return { ...all, asked: () => asked }
}

t.test('after both FINs the socket is kept until the peer has acknowledged everything', async t => {
  let left = 10
  const { socket, client, clock, events, closed } = await halfClosedByBoth(t, () => left)
  clock.advance(5)
  t.notOk(socket.destroyed)
  left = 0
  clock.advance(4)
  t.notOk(socket.destroyed)
  clock.advance(6)
  t.ok(socket.destroyed)
  await closed
  t.equal(await client.closed(), null, 'no RST')
  t.same(events, ['half-close', 'closed'])
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('nobody looks at the send queue again when it was empty behind our FIN', async t => {
  const { closed, asked } = await halfClosedByBoth(t, () => 0)
  await closed
  t.equal(asked(), 1)
})

for (const left of [0, null]) {
  t.test(`after both FINs the socket is closed at once where ${left === null ? 'nobody knows what is' : 'nothing is left to be'} acknowledged`, async t => {
    const { clock, events, closed } = await halfClosedByBoth(t, () => left)
    await closed
    t.same(events, ['half-close', 'closed'])
    t.equal(clock.timers, 0)
  })
}

t.test('nobody looks at the send queue more often than needed: with growing pauses, at most five times a second', async t => {
  const { clock, asked } = await halfClosedByBoth(t, () => 10)
  const looks: number[] = []
  for (let at = 1; at <= 1200; at++) {
    const before = asked()
    clock.advance(1)
    if (asked() > before) looks.push(at)
  }
  t.same(looks, [5, 15, 35, 75, 155, 315, 515, 715, 915, 1115])
})

t.test('whoever closes the socket again meanwhile does not add to the looks', async t => {
  const { socket, clock, asked } = await halfClosedByBoth(t, () => 10)
  const timers = clock.timers
  for (let i = 0; i < 10; i++) t.equal(socket.destroy(), socket)
  t.equal(clock.timers, timers)
  const before = asked()
  clock.advance(5)
  t.equal(asked(), before + 1)
  t.notOk(socket.destroyed)
})

t.test('when the system does not tell any more what is left the wait is over', async t => {
  let left: number | null = 10
  const { socket, clock, closed } = await halfClosedByBoth(t, () => left)
  left = null
  clock.advance(5)
  t.ok(socket.destroyed)
  await closed
  t.equal(clock.timers, 0)
})

t.test('a peer that never acknowledges is not waited for longer than lingerTime', async t => {
  const { socket, clock, events, closed } = await halfClosedByBoth(t, () => 10, { lingerTimeout: 600_000, lingerTime: 5000 })
  clock.advance(4999)
  t.notOk(socket.destroyed)
  clock.advance(1)
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('an error closes the socket at once, whatever is left', async t => {
  const { socket, clock, events, closed } = await halfClosedByBoth(t, () => 10)
  const error = new Error('the peer is lost')
  t.equal(socket.destroy(error), socket)
  t.ok(socket.destroyed)
  await closed
  t.equal(socket.errored, error)
  t.same(events, ['half-close', 'closed'])
  t.equal(clock.timers, 0)
})

t.test('row 6: a slow reader is given the time anew as long as it acknowledges what was sent', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  let left = 100
  close({ times: { lingerTimeout: 600_000, lingerTime: 5000 }, unacknowledged: () => left })
  await client.fin()
  await eventually(() => clock.timers === 1, 'the total counts')
  for (left of [99, 50, 1]) {
    clock.advance(5000)
    t.notOk(socket.destroyed, `${left} bytes left`)
    t.equal(clock.timers, 1)
  }
  left = 0
  clock.advance(5000)
  t.notOk(socket.destroyed, 'now it has the time to close')
  clock.advance(4999)
  t.notOk(socket.destroyed)
  clock.advance(1)
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
  t.equal(clock.timers, 0)
})

t.test('a reader that has stopped is closed at the limit, with what is left', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  let left = 100
  close({ times: { lingerTimeout: 600_000, lingerTime: 5000 }, unacknowledged: () => left })
  await client.fin()
  await eventually(() => clock.timers === 1, 'the total counts')
  left = 60
  clock.advance(5000)
  t.notOk(socket.destroyed)
  clock.advance(5000)
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
})

t.test('row 8: a peer that had acknowledged everything by the first limit was not slow', async t => {
  const { client, clock, events, closed, close } = await setUp(t)
  let left = 100
  close({ times: { lingerTimeout: 600_000, lingerTime: 5000 }, unacknowledged: () => left })
  await client.fin()
  await eventually(() => clock.timers === 1, 'the total counts')
  left = 0
  clock.advance(5000)
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
})

t.test('row 6: silence does not end the wait for a slow reader either', async t => {
  const { client, clock, events, closed, close } = await setUp(t)
  const lefts = [100, 70, 40, 40]
  close({ times: { lingerTimeout: 60, lingerTime: 600_000 }, unacknowledged: () => lefts.shift() ?? null })
  await client.fin()
  await closed
  t.same(lefts, [], 'two limits more than without an acknowledgement')
  t.same(events, ['half-close', 'timeout', 'closed'])
  t.equal(clock.timers, 0)
})

t.test('while something is in flight the peer is waited for until nothing has come from it for twice lingerTime', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  const began = clock.now()
  // Something came 200 ms before our FIN.
  close({ times: { lingerTimeout: 600_000, lingerTime: 5000 }, unacknowledged: () => 10, inFlight: () => clock.now() - began + 200 })
  await client.fin()
  await eventually(() => clock.timers === 1, 'the total counts')
  for (const ms of [5000, 4799]) {
    clock.advance(ms)
    t.notOk(socket.destroyed)
    t.equal(clock.timers, 1)
  }
  clock.advance(1)
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
  t.equal(clock.timers, 0)
})

t.test('silence does not end that either', async t => {
  const { client, clock, events, closed, close } = await setUp(t)
  const began = performance.now()
  const silences = [30, 60, 90]
  close({ times: { lingerTimeout: 30, lingerTime: 60 }, inFlight: () => silences.shift() ?? 120 })
  await client.fin()
  await closed
  t.same(silences, [])
  t.ok(performance.now() - began >= 110, 'four limits')
  t.same(events, ['half-close', 'timeout', 'closed'])
  t.equal(clock.timers, 0)
})

t.test('whoever has got everything has the usual time to close', async t => {
  const { socket, client, clock, events, closed, close } = await setUp(t)
  let silence: number | null = 5000
  close({ times: { lingerTimeout: 600_000, lingerTime: 5000 }, inFlight: () => silence })
  await client.fin()
  await eventually(() => clock.timers === 1, 'the total counts')
  clock.advance(5000)
  t.notOk(socket.destroyed)
  silence = null
  clock.advance(4999)
  t.notOk(socket.destroyed)
  clock.advance(1)
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
})

t.test('silence counts from the last byte, whoever has read it', async t => {
  const { socket, client, events, closed, close } = await setUp(t)
  client.write('before')
  await eventually(() => socket.bytesRead === 6, 'it was read')
  let bytesRead = 6
  Object.defineProperty(socket, 'bytesRead', { get: () => bytesRead })
  close({ times: { lingerTimeout: 60_000, lingerTime: 600_000 } })
  await client.fin()
  // A session of HTTP/2 reads below its socket.
  bytesRead = 100
  socket.setTimeout(0)
  socket.emit('timeout')
  t.same(events, ['half-close'], 'something has come meanwhile')
  t.equal(socket.timeout, 60_000)
  socket.emit('timeout')
  await closed
  t.same(events, ['half-close', 'timeout', 'closed'])
})

t.test('what came before our FIN breaks no silence behind it', async t => {
  const { socket, client, events, close } = await setUp(t)
  client.write('before')
  await eventually(() => socket.bytesRead === 6, 'it was read')
  close()
  await client.fin()
  socket.emit('timeout')
  t.same(events, ['half-close', 'timeout'])
})

t.test('nor does what has come behind it, when as much time has passed since then', async t => {
  const { socket, client, events, close } = await setUp(t)
  close()
  await client.fin()
  client.write('behind')
  await eventually(() => socket.bytesRead === 6, 'it was read')
  socket.emit('timeout')
  t.same(events, ['half-close', 'timeout'])
})

t.test('whoever closes the socket while the peer may close first waits for the peer to acknowledge what was sent', async t => {
  let unacknowledged = 5
  const { socket, clock, closed, close } = await setUp(t)
  close({ peerCloseTimeout: 1000, unacknowledged: () => unacknowledged })
  socket.destroy()
  t.notOk(socket.destroyed)
  unacknowledged = 0
  clock.advance(5)
  await closed
})

t.test('a peer that has closed first is not waited for any more', async t => {
  const { socket, client, clock, close } = await setUp(t)
  close({ peerCloseTimeout: 1000, unacknowledged: () => 5 })
  client.halfClose()
  await eventually(() => socket.writableFinished, 'our FIN is out')
  await client.fin()
  const { timers } = clock
  clock.advance(1000)
  t.equal(clock.timers, timers, 'the limit of the wait, and the next look at what is not acknowledged')
  t.equal(socket.listenerCount('data'), 2)
})

/** A peer that has closed and does not read, and a write that the kernel has no room for. */
async function setUpStuck (t: { teardown (fn: () => unknown): void }, unacknowledged: () => number | null) {
  const all = await setUp(t)
  const { socket, client, close } = all
  client.socket.pause()
  client.halfClose()
  await eventually(() => socket.readableEnded, 'its FIN was read')
  socket.write(Buffer.alloc(16_000_000, 'x'))
  let waiting = socket.writableLength
  Object.defineProperty(socket, 'writableLength', { get: () => waiting })
  close({ times: { lingerTimeout: 50, lingerTime: 100 }, unacknowledged })
  return { ...all, write: (bytes: number) => { waiting -= bytes } }
}

t.test('a write that Node has forgotten, behind the FIN of a peer that has all the rest, is not waited for', async t => {
  const { clock, events, closed } = await setUpStuck(t, () => 0)
  clock.advance(100)
  t.same(events, [], 'Node may be about to write')
  clock.advance(99)
  t.same(events, [])
  clock.advance(1)
  await closed
  t.same(events, ['timeout', 'closed'])
  t.equal(clock.timers, 0)
})

t.test('a write that goes on is waited for', async t => {
  const { clock, events, write } = await setUpStuck(t, () => 0)
  for (let i = 0; i < 5; i++) {
    clock.advance(100)
    write(1)
  }
  t.same(events, [])
})

for (const [why, unacknowledged] of [['the peer has not acknowledged what was sent before', 7], ['nobody knows what it has acknowledged', null]] as const) {
  t.test(`a write that does not go on is waited for while ${why}`, async t => {
    const { clock, events } = await setUpStuck(t, () => unacknowledged)
    clock.advance(1000)
    t.same(events, [])
  })
}

t.test('where nothing waits to be written nobody looks whether it is', async t => {
  const { socket, client, clock, close } = await setUp(t)
  client.halfClose()
  await eventually(() => socket.readableEnded, 'its FIN was read')
  close({ unacknowledged: () => 7 })
  t.equal(clock.timers, 0)
})
