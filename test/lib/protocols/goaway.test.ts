import t from 'tap'
import { EventEmitter } from 'node:events'
import { Goaway } from '../../../lib/protocols/goaway.ts'
import type { Session } from '../../../lib/protocols/http2.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'

/** The two frames with which streams are refused: the first says when that begins, the second which was the last one executed. */
const refusedAt = (ms: number): string[] => [`${ms}: GOAWAY 0 ${2 ** 31 - 1}`, `${ms}: GOAWAY`]

/** A session whose log says what it was told, and when. */
function setUp ({ written = null, open = 0, latest = 10_000, mayWait = false }: { written?: boolean | null, open?: number, latest?: number, mayWait?: boolean } = {}) {
  const clock = new FakeClock()
  const log: string[] = []
  const pings: Array<(error: Error | null) => void> = []
  const say = (what: string): void => { log.push(`${clock.now()}: ${what}`) }
  const state = { written, bytes: Buffer.alloc(0), isFlushed: false }
  class Node extends EventEmitter {
    destroyed = false
    closed = false
    state = { outboundQueueSize: 0 }
    ping (onAck: (error: Error | null) => void): void { say('PING'); pings.push(onAck) }
    goaway (code = 0, last?: number): void { say(last === undefined ? 'GOAWAY' : `GOAWAY ${code} ${last}`) }
    isStuck = false
    close (): void {
      say('close')
      if (!this.isStuck) this.end()
    }

    destroy (): void {
      say('destroy')
      this.end()
    }

    end (): void {
      this.destroyed = true
      this.emit('close')
    }
  }
  const node = new Node()
  const session = { session: node, open, peak: open, used: open > 0, onChange: () => {} } as unknown as Session & { open: number }
  const goaway = new Goaway(session, {
    clock,
    peerCloseTimeout: 250,
    pingTimeout: 5000,
    latest,
    mayWait,
    readOn () {},
    isFlushed: () => state.isFlushed,
    endSocket () { say('end') },
    writeNow: written === null
      ? null
      : bytes => {
        say('notice')
        state.bytes = Buffer.from(bytes)
        return state.written === true
      }
  })
  return {
    clock,
    goaway,
    log,
    node,
    state,
    opened () {
      session.open++
      session.peak = Math.max(session.peak, session.open)
      session.onChange?.('opened')
    },
    closed () { session.open--; session.onChange?.('closed') },
    ack: (error: Error | null = null) => pings.shift()?.(error)
  }
}

t.test('row 26: first the notice, which refuses nothing, and the final GOAWAY when a PING says that it was read', async t => {
  const { clock, goaway, log, state, opened, closed, ack } = setUp({ written: true })
  goaway.announce()
  t.same(log, ['0: notice', '0: PING'])
  // A GOAWAY frame of 8 bytes on stream 0: last stream 2^31-1, NO_ERROR.
  t.equal(state.bytes.toString('hex'), '0000080700000000007fffffff00000000')
  clock.advance(100)
  opened()
  ack()
  t.same(log.slice(2), refusedAt(100))
  clock.advance(1000)
  closed()
  t.same(log.slice(4), [])
  clock.advance(249)
  t.same(log.slice(4), [], 'the peer may close first')
  clock.advance(1)
  t.same(log.slice(4), ['1350: close'])
  t.equal(clock.timers, 0)
})

t.test('row 27: a PING that nobody answers is waited for 5 s', async t => {
  const { clock, goaway, log } = setUp({ written: true })
  goaway.announce()
  clock.advance(4999)
  t.same(log.slice(2), [])
  clock.advance(1)
  t.same(log.slice(2), refusedAt(5000))
})

t.test('the end of the grace changes nothing for a session that had its notice', async t => {
  const { clock, goaway, log, opened, closed, ack } = setUp({ written: true })
  goaway.announce()
  clock.advance(1000)
  goaway.settle()
  opened()
  closed()
  clock.advance(1000)
  t.same(log.slice(2), [])
  ack()
  t.same(log.slice(2), refusedAt(2000))
})

t.test('the notice of a session whose send queue is full goes out when a PING says that the peer has read it', async t => {
  const { clock, goaway, log, state, ack } = setUp({ written: false, open: 1 })
  goaway.announce()
  t.same(log, ['0: notice', '0: PING'])
  clock.advance(100)
  ack()
  t.same(log.slice(2), ['100: notice', '100: PING'], 'it was full again')
  state.written = true
  ack()
  t.same(log.slice(4), ['100: notice', '100: PING'])
  ack()
  t.same(log.slice(6), refusedAt(100))
})

t.test('a session whose send queue stays full gets the final GOAWAY as one that can get no notice', async t => {
  const { clock, goaway, log } = setUp({ written: false, open: 1 })
  goaway.announce()
  clock.advance(1000)
  goaway.settle()
  clock.advance(9000)
  t.same(log.slice(2), refusedAt(10000))
})

t.test('a queue that is read after the grace still makes room for the notice, which then decides', async t => {
  const { clock, goaway, log, state, ack, closed, opened } = setUp({ written: false, open: 1 })
  goaway.announce()
  clock.advance(1000)
  goaway.settle()
  state.written = true
  ack()
  t.same(log.slice(2), ['1000: notice', '1000: PING'])
  opened()
  closed()
  closed()
  clock.advance(4999)
  t.same(log.slice(4), [], 'neither a quiet moment nor a full house counts any more')
  clock.advance(1)
  t.same(log.slice(4), refusedAt(6000))
})

t.test('without a notice an idle session gets the final GOAWAY when it has been quiet for a moment', async t => {
  const { clock, goaway, log } = setUp()
  goaway.announce()
  clock.advance(1000)
  goaway.settle()
  clock.advance(49)
  t.same(log, [])
  clock.advance(1)
  t.same(log, refusedAt(1050))
  clock.advance(250)
  t.same(log.slice(2), ['1300: close'])
  t.equal(clock.timers, 0)
})

t.test('without a notice a stream that ends the silence begins it anew', async t => {
  const { clock, goaway, log, opened, closed } = setUp({ open: 2 })
  goaway.announce()
  clock.advance(1000)
  goaway.settle()
  closed()
  closed()
  clock.advance(30)
  opened()
  clock.advance(30)
  closed()
  clock.advance(49)
  t.same(log, [])
  clock.advance(1)
  t.same(log, refusedAt(1110))
})

t.test('row 26: a client that has as many streams open as ever has nothing on its way: that is the moment', async t => {
  const { clock, goaway, log, opened, closed } = setUp({ open: 3 })
  goaway.announce()
  closed()
  clock.advance(100)
  closed()
  opened()
  t.same(log, [], 'two of three')
  opened()
  t.same(log, refusedAt(100), 'the grace is not waited for')
  for (let i = 0; i < 3; i++) closed()
  clock.advance(250)
  t.same(log.slice(2), ['350: close'])
  t.equal(clock.timers, 0)
})

t.test('before the end of the grace a session that is quiet, or less busy than ever, is left alone', async t => {
  const { clock, goaway, log, opened, closed } = setUp({ open: 3 })
  goaway.announce()
  closed()
  closed()
  opened()
  closed()
  closed()
  clock.advance(900)
  opened()
  t.same(log, [])
})

t.test('what was open when the drain began counts for the most that were ever open', async t => {
  const { goaway, log, opened, closed } = setUp({ open: 2 })
  closed()
  goaway.settle()
  opened()
  t.same(log, refusedAt(0))
})

t.test('the longer a session is never as busy again, the less is enough', async t => {
  const { clock, goaway, log, closed, opened } = setUp({ open: 4, latest: 5000 })
  goaway.announce()
  clock.advance(1000)
  closed()
  goaway.settle()
  for (let i = 0; i < 50; i++) {
    clock.advance(100)
    closed()
    opened()
  }
  t.same(log, refusedAt(2000), 'three of four, after a quarter of the time')
})

t.test('a session in which nothing changes gets the final GOAWAY in time', async t => {
  const { clock, goaway, log } = setUp({ open: 4, latest: 5000 })
  goaway.announce()
  goaway.settle()
  clock.advance(4999)
  t.same(log, [])
  clock.advance(1)
  t.same(log, refusedAt(5000))
})

t.test('a session that came later is told with its first answer, and in any case at the end of its grace', async t => {
  for (const first of ['answer', 'grace'] as const) {
    const { goaway, log, opened, closed } = setUp({ written: true })
    opened()
    opened()
    t.same(log, [])
    if (first === 'answer') closed()
    else goaway.settle()
    t.same(log, ['0: notice', '0: PING'], first)
    goaway.settle()
    closed()
    t.equal(log.length, 2, 'once')
  }
})

t.test('the last stream is named when the frame before was sent, and not earlier', async t => {
  const { clock, goaway, log, node, opened, closed } = setUp({ open: 1 })
  goaway.settle()
  node.state.outboundQueueSize = 3
  opened()
  t.same(log, [`0: GOAWAY 0 ${2 ** 31 - 1}`])
  for (const size of [3, 2, 1]) {
    node.state.outboundQueueSize = size
    clock.advance(1000)
    t.equal(log.length, 1)
  }
  closed()
  closed()
  t.ok(clock.timers > 0)
  node.state.outboundQueueSize = 0
  clock.advance(100)
  t.equal(log.filter(line => line.endsWith(': GOAWAY')).length, 1)
  clock.advance(250)
  t.match(log.at(-1), /close$/)
  t.equal(clock.timers, 0)
})

t.test('a session that Node does not close when its last frame was sent is closed then', async t => {
  const { clock, goaway, log, node } = setUp()
  goaway.settle()
  clock.advance(50 + 249)
  node.isStuck = true
  node.state.outboundQueueSize = 1
  clock.advance(1)
  t.same(log.slice(-1), ['300: close'])
  clock.advance(1000)
  t.same(log.slice(-1), ['300: close'], 'the frame waits in the queue')
  node.state.outboundQueueSize = 0
  clock.advance(100)
  t.match(log.at(-1), /: destroy$/)
  t.equal(clock.timers, 0)
})

t.test('a session whose last frame Node keeps, although the kernel has nothing to send, is closed after a few looks', async t => {
  const { clock, goaway, log, node, state } = setUp()
  goaway.settle()
  clock.advance(50 + 249)
  node.isStuck = true
  node.state.outboundQueueSize = 1
  clock.advance(1001)
  t.same(log.slice(-1), ['300: close'], 'the peer has not acknowledged what was sent before')
  state.isFlushed = true
  clock.advance(200)
  t.same(log.slice(-1), ['300: close'], 'Node may be about to write')
  clock.advance(100)
  t.match(log.at(-1), /: destroy$/)
  t.equal(clock.timers, 0)
})

t.test('a session on which Node sends nothing any more is closed, with the streams that nobody can end', async t => {
  const { clock, goaway, log, node, state } = setUp({ open: 1 })
  state.isFlushed = true
  goaway.settle()
  node.state.outboundQueueSize = 1
  node.close()
  t.same(log, [`0: GOAWAY 0 ${2 ** 31 - 1}`])
  clock.advance(127 + 2 * 100)
  t.equal(log.length, 1, 'after looks at 1, 3, 7, 15, 31, 63, 127 and 227 ms, of which only the last was a long one')
  clock.advance(2 * 100)
  t.same(log.slice(1), ['427: destroy'])
  t.equal(clock.timers, 0)
})

t.test('a session is not stuck when the kernel has something to send now and then', async t => {
  const { clock, goaway, log, node, state } = setUp({ open: 1 })
  goaway.settle()
  node.state.outboundQueueSize = 1
  node.close()
  clock.advance(127)
  for (let i = 0; i < 30; i++) {
    state.isFlushed = i % 3 !== 0
    clock.advance(100)
  }
  t.equal(log.length, 1)
  node.state.outboundQueueSize = 0
  clock.advance(100)
  t.match(log.slice(1), [/: GOAWAY$/])
})

t.test('a session that Node closes after a while is left to it', async t => {
  const { clock, goaway, log, node } = setUp()
  goaway.settle()
  node.isStuck = true
  clock.advance(50 + 250)
  node.end()
  clock.advance(1000)
  t.same(log.slice(-1), ['300: close'])
  t.equal(clock.timers, 0)
})

t.test('the session that closes before the frame was sent is left alone', async t => {
  const { clock, goaway, log, node, opened } = setUp({ open: 1 })
  goaway.settle()
  node.state.outboundQueueSize = 1
  opened()
  node.end()
  await clock.pass(10_000)
  t.equal(log.length, 1)
})

t.test('when the peer says GOAWAY, or the app closes the session, it may close first all the same', async t => {
  const { clock, goaway, log, node, closed } = setUp({ written: true, open: 1 })
  goaway.announce()
  node.close()
  t.same(log.slice(2), refusedAt(0))
  node.close()
  clock.advance(100)
  closed()
  clock.advance(250)
  t.same(log.slice(4), ['350: close'])
  t.equal(clock.timers, 0)
})

t.test('a session that Node was closing already is left to it', async t => {
  const { clock, goaway, log, node } = setUp({ open: 1 })
  node.closed = true
  goaway.settle()
  await clock.pass(20_000)
  t.same(log, [])
})

t.test('a session that has closed is left alone, and no timer stays', async t => {
  for (const written of [true, null]) {
    const { clock, goaway, log, node, ack } = setUp({ written, open: 1 })
    goaway.announce()
    goaway.settle()
    node.destroyed = true
    node.emit('close')
    t.equal(clock.timers, 0)
    const before = log.length
    ack()
    goaway.announce()
    goaway.settle()
    await clock.pass(60_000)
    t.equal(log.length, before)
  }
})

t.test('a PING that fails, because the session closes, decides nothing', async t => {
  const { goaway, log, ack } = setUp({ written: true })
  goaway.announce()
  ack(new Error('the session closes'))
  t.equal(log.length, 2)
})

t.test('there is one final GOAWAY', async t => {
  const { clock, goaway, log, ack, opened, closed } = setUp({ written: true, open: 1 })
  goaway.announce()
  ack()
  goaway.announce()
  goaway.settle()
  opened()
  closed()
  await clock.pass(20_000)
  t.same(log.filter(line => line.includes('GOAWAY')), refusedAt(0))
})

t.test('the end of the grace changes nothing for a session whose peer has said GOAWAY before', async t => {
  for (const outboundQueueSize of [0, 1]) {
    const { clock, goaway, log, node } = setUp({ written: null })
    goaway.announce()
    node.state.outboundQueueSize = outboundQueueSize
    node.close()
    goaway.settle()
    node.state.outboundQueueSize = 0
    await clock.pass(20_000)
    t.match(log.at(-1), /: close$/)
    t.equal(log.filter(line => line.endsWith(': GOAWAY')).length, 1)
  }
})

t.test('a session whose first answer was faster than its turn to be told is told once', async t => {
  const { goaway, log, opened, closed } = setUp({ written: true })
  opened()
  closed()
  goaway.announce()
  t.same(log, ['0: notice', '0: PING'])
})

t.test('a session that is destroyed and keeps its socket, because Node has missed the end of its last write, has it ended', async t => {
  const destroyed = (node: { destroyed: boolean }): void => { node.destroyed = true }
  const { clock, goaway, log, node } = setUp({ written: null })
  destroyed(node)
  goaway.settle()
  await clock.pass(20_000)
  t.same(log, ['250: end'])

  const later = setUp({ written: null })
  later.goaway.settle()
  later.clock.after(10, () => destroyed(later.node))
  await later.clock.pass(20_000)
  t.match(later.log.at(-1), /: end$/)
  t.equal(later.log.filter(line => line.endsWith('end')).length, 1)

  const closes = setUp({ written: null })
  destroyed(closes.node)
  closes.goaway.settle()
  closes.node.end()
  await closes.clock.pass(20_000)
  t.same(closes.log, [])
})

t.test('while nothing depends on its end a session that can get no notice stays idle for as long as it likes', async t => {
  const { clock, goaway, log, opened, closed } = setUp({ mayWait: true })
  opened()
  opened()
  closed()
  closed()
  goaway.announce()
  goaway.settle()
  clock.advance(60_000)
  t.same(log, [])
  t.equal(clock.timers, 0)
  opened()
  t.same(log, refusedAt(60_000), 'its next stream tells it')
})

t.test('when a drain begins it has to come to its end like all others, from the end of the grace on', async t => {
  const { clock, goaway, log } = setUp({ mayWait: true })
  goaway.announce()
  goaway.settle()
  clock.advance(60_000)
  goaway.hurry({ peerCloseTimeout: 250, pingTimeout: 5000, latest: 70_000 })
  clock.advance(1000)
  t.same(log, [], 'the drain has a grace')
  goaway.settle()
  clock.advance(50)
  t.same(log, refusedAt(61_050))
})

t.test('a drain that begins when the notice is out waits for the PING as long as a drain does', async t => {
  const { clock, goaway, log } = setUp({ written: true, mayWait: true })
  goaway.announce()
  clock.advance(1000)
  goaway.hurry({ peerCloseTimeout: 100, pingTimeout: 500, latest: 9000 })
  goaway.announce()
  goaway.settle()
  clock.advance(500)
  t.same(log.slice(2), refusedAt(1500), 'and says all of it once')
  clock.advance(100)
  t.same(log.slice(4), ['1600: close'])
})

t.test('a drain that begins when everything was said changes nothing but the time for the peer', async t => {
  const { clock, goaway, log, opened, closed } = setUp({ mayWait: true })
  goaway.announce()
  opened()
  t.same(log, refusedAt(0))
  goaway.hurry({ peerCloseTimeout: 100, pingTimeout: 500, latest: 9000 })
  clock.advance(10_000)
  t.equal(log.length, 2)
  closed()
  clock.advance(100)
  t.same(log.slice(2), ['10100: close'])
})

t.test('a drain that begins when streams are refused already lets that come to its end', async t => {
  const { clock, goaway, log, node, ack } = setUp({ written: true, open: 1 })
  goaway.announce()
  node.state.outboundQueueSize = 1
  ack()
  goaway.hurry({ peerCloseTimeout: 100, pingTimeout: 60_000, latest: 90_000 })
  node.state.outboundQueueSize = 0
  clock.advance(100)
  t.match(log.at(-1), /: GOAWAY$/)
})

t.test('a drain that begins may give a PING more time, and leaves no timer where the session is gone', async t => {
  const { clock, goaway, log, node } = setUp({ written: true })
  goaway.announce()
  goaway.hurry({ peerCloseTimeout: 100, pingTimeout: 8000, latest: 9000 })
  clock.advance(7999)
  t.equal(log.length, 2)
  clock.advance(1)
  t.same(log.slice(2), refusedAt(8000))
  node.end()
  goaway.hurry({ peerCloseTimeout: 100, pingTimeout: 8000, latest: 9000 })
  t.equal(clock.timers, 0)
})

t.test('a drain that begins before the end of its grace has come decides nothing, for whoever got no notice', async t => {
  const { clock, goaway, log, opened, closed } = setUp({ open: 4, mayWait: true, latest: 1000 })
  goaway.announce()
  goaway.settle()
  clock.advance(500)
  goaway.hurry({ peerCloseTimeout: 250, pingTimeout: 100, latest: 10_000 })
  for (let i = 0; i < 4; i++) closed()
  clock.advance(9000)
  opened()
  clock.advance(100)
  t.same(log, [])
})

t.test('before it was announced a session that has had requests may be told at a good moment, and a fresh one with its first answer', async t => {
  const used = setUp({ open: 1 })
  used.opened()
  t.same(used.log, refusedAt(0))

  const fresh = setUp()
  fresh.opened()
  t.same(fresh.log, [])

  const written = setUp({ written: true, open: 1 })
  written.opened()
  t.same(written.log, [])
  written.closed()
  t.same(written.log, ['0: notice', '0: PING'])
})

t.test('a session that Node was closing already gets no notice, nor does one that is gone', async t => {
  const closing = setUp({ written: true })
  closing.node.closed = true
  closing.goaway.announce()
  t.same(closing.log, [])

  const gone = setUp({ written: true })
  gone.node.destroyed = true
  gone.goaway.announce()
  gone.goaway.announce()
  t.same(gone.log, [])
  gone.clock.advance(250)
  t.same(gone.log, ['250: end'])
})

t.test('a session whose send queue stays full is asked once, and refused by nobody before the end of the grace', async t => {
  const { clock, goaway, log, closed } = setUp({ written: false, open: 2 })
  goaway.announce()
  closed()
  closed()
  clock.advance(9000)
  t.same(log, ['0: notice', '0: PING'])
})

t.test('streams that are open when more are refused are served', async t => {
  const { clock, goaway, log, opened, closed } = setUp({ open: 1 })
  goaway.announce()
  opened()
  t.same(log, refusedAt(0))
  closed()
  clock.advance(10_000)
  t.equal(log.length, 2)
  closed()
  clock.advance(250)
  t.same(log.slice(2), ['10250: close'])
})

t.test('while nothing depends on its end a stream that comes and goes changes nothing', async t => {
  const { clock, goaway, log, opened, closed } = setUp({ open: 4, mayWait: true })
  goaway.announce()
  for (let i = 0; i < 4; i++) closed()
  goaway.settle()
  opened()
  closed()
  clock.advance(1000)
  t.same(log, [])
})

t.test('a short stream ends the silence as well', async t => {
  const { clock, goaway, log, opened, closed } = setUp({ open: 4 })
  goaway.announce()
  for (let i = 0; i < 4; i++) closed()
  goaway.settle()
  clock.advance(30)
  opened()
  clock.advance(10)
  closed()
  clock.advance(49)
  t.same(log, [])
  clock.advance(1)
  t.same(log, refusedAt(90))
})

t.test('whoever waits for the send queue looks with growing pauses', async t => {
  const { clock, goaway, node, ack, closed } = setUp({ written: true, open: 1 })
  let looks = 0
  let size = 1
  node.state = { get outboundQueueSize () { looks++; return size } }
  goaway.announce()
  ack()
  clock.advance(1000)
  t.ok(looks >= 15 && looks <= 20, `${looks} looks`)
  size = 0
  clock.advance(100)
  closed()
  node.isStuck = true
  clock.advance(250)
  looks = 0
  size = 1
  clock.advance(1000)
  t.ok(looks >= 15 && looks <= 20, `${looks} looks`)
})

t.test('a session that is gone before its last frame was sent is not looked at any more', async t => {
  const { clock, goaway, log, node, ack } = setUp({ written: true, open: 1 })
  goaway.announce()
  node.state.outboundQueueSize = 1
  ack()
  node.destroyed = true
  node.state.outboundQueueSize = 0
  clock.advance(1)
  t.notOk(log.some(line => line.endsWith(': GOAWAY')))
})

t.test('a session that keeps its socket when it was destroyed at its end has it ended', async t => {
  const { clock, goaway, log, node } = setUp()
  goaway.settle()
  node.isStuck = true
  node.destroy = () => { node.destroyed = true }
  clock.advance(50 + 250 + 1)
  t.ok(node.destroyed)
  clock.advance(250)
  t.match(log.at(-1), /: end$/)
  t.equal(clock.timers, 0)
})

t.test('where the notice has to wait nobody has been told: a stream that comes meanwhile is no moment to refuse more', async t => {
  const { goaway, log, opened } = setUp({ written: false, open: 1 })
  goaway.announce()
  opened()
  t.same(log, ['0: notice', '0: PING'])
})

t.test('what a goodbye waited for is not waited for any more when the peer may close', async t => {
  const { clock, goaway, opened, closed } = setUp()
  goaway.settle()
  clock.advance(10)
  opened()
  clock.advance(10)
  closed()
  t.equal(clock.timers, 1, 'the time of the peer, and not whether the session is quiet')
})

t.test('nor when the session was destroyed', async t => {
  const { clock, goaway, node } = setUp()
  goaway.settle()
  node.destroyed = true
  goaway.announce()
  clock.advance(0)
  t.equal(clock.timers, 2, 'the time of its socket, and the latest moment, when nothing is left to do')
})
