import t from 'tap'
import { EventEmitter } from 'node:events'
import { Line, onReplacement, unwrap, wrap, type ToPrimary, type ToWorker } from '../../../lib/handover/line.ts'
import { OtherWorker } from '../../../lib/handover/other-worker.ts'

/** A worker, as far as its primary can talk to it. */
class Host extends EventEmitter {
  connected = true
  readonly sent: unknown[] = []

  send (message: object, handle: unknown, _options: object, done: () => void): void {
    this.sent.push(handle === undefined ? unwrap<ToPrimary>(message) ?? message : [message, handle])
    done()
  }

  hear (message: ToWorker): void {
    this.emit('message', wrap(message))
  }

  lose (): void {
    this.connected = false
    this.emit('disconnect')
  }
}

function setUp () {
  const host = new Host()
  const line = new Line(host as never)
  const heard: unknown[] = []
  line.on('message', (...message) => heard.push(message))
  line.once('disconnect', () => heard.push('disconnect'))
  return { host, line, heard }
}

t.test('what the other worker says is heard, and what the primary says is not taken for it', async t => {
  const { host, line, heard } = setUp()
  host.emit('message', { colour: 'red' }, 'a handle')
  host.hear({ type: 'started', pid: 7 })
  host.hear({ type: 'begin' })
  t.same(heard, [[{ colour: 'red' }, 'a handle']])
  line.send({ colour: 'blue' }, 'another handle' as never, {}, () => {})
  t.same(host.sent, [[{ colour: 'blue' }, 'another handle']])
})

for (const [name, end] of Object.entries<(host: Host) => void>({
  'the other worker has closed its end': host => host.hear({ type: 'lost' }),
  'the primary is gone': host => host.lose()
})) {
  t.test(`a line ends once: ${name}`, async t => {
    const { host, line, heard } = setUp()
    t.ok(line.connected)
    end(host)
    end(host)
    t.notOk(line.connected)
    line.disconnect()
    t.same([heard, host.sent], [['disconnect'], []])
  })
}

t.test('a line that is closed here is closed there, and the channel to the primary stays', async t => {
  const { host, line, heard } = setUp()
  line.disconnect()
  line.disconnect()
  t.same([heard, host.sent, host.connected, line.connected], [['disconnect'], [{ type: 'bye' }], true, false])
})

t.test('a primary that is gone is told nothing', async t => {
  const { host, line } = setUp()
  host.connected = false
  line.tell({ type: 'bye' })
  t.notOk(line.connected)
  t.same(host.sent, [])
})

t.test('each time the primary asks it is told how it ended', async t => {
  const host = new Host()
  const outcomes = [async () => 7, async () => { throw new Error('not now') }]
  onReplacement(host as never, () => (outcomes.shift() as () => Promise<number>)())
  host.hear({ type: 'started', pid: 1 })
  host.emit('message', 'begin')
  t.equal(outcomes.length, 2)
  for (let i = 0; i < 2; i++) {
    host.hear({ type: 'begin' })
    await new Promise(resolve => setImmediate(resolve))
  }
  t.same(host.sent, [{ type: 'succeeded' }, { type: 'failed', message: 'not now' }])
})

t.test('another worker is started by the primary, which tells of it', async t => {
  const { host, line } = setUp()
  const at = { address: '127.0.0.1', port: 80 }
  const other = new OtherWorker(line, [{ fd: 9, name: 'web', anyPort: false, at }, { fd: 9, name: '', anyPort: true, at }], 30_000)
  const ends: string[] = []
  other.watch(how => ends.push(how))
  t.same([other.pid, other.name, other.hasEnded, other.listener(1)], [undefined, 'another worker', false, 1])
  host.hear({ type: 'started', pid: 7 })
  t.equal(other.pid, 7)
  other.end({ patience: 5000, hasConnections: true, isEnding: true })
  host.hear({ type: 'ended', how: 'it was ended by SIGTERM' })
  t.same([ends, other.hasEnded], [['it was ended by SIGTERM'], true])
  other.end({ patience: 5000, hasConnections: true, isEnding: false })
  t.same(host.sent, [
    { type: 'start', listeners: [{ fd: 0, name: 'web', anyPort: false, at }, { fd: 1, name: '', anyPort: true, at }], readyTimeout: 30_000 },
    { type: 'end', patience: 5000, isEnding: true }
  ])
})
