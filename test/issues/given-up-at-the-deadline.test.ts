import t from 'tap'
import { eventually } from '../helpers/app.ts'
import { request } from '../helpers/raw-client.ts'
import { drainByHand } from '../helpers/unit-drain.ts'

// The fuzzer: a linger time and the deadline, or the beginning of the drain, in one turn of the event loop. The socket is
// destroyed by then, and its 'close' is still to come.
const outcomes = { 'peer-closed': 0, 'half-closed': 0, 'handed-over': 0, 'peer-lost': 0, destroyed: 0 }

t.test('a connection that is given up in the turn of the deadline is named once, and is not cut', async t => {
  const { clock, drain, listen } = drainByHand(t, { idleGrace: 0, lingerTimeout: 60_000, lingerTime: 2000, hardStopAfter: 3000 })
  const connect = await listen((_request, answer) => { answer.end('hello') })
  const client = await connect()
  const draining = drain.begin('test')
  await eventually(() => { clock.pass(0); return drain.connections.counts().lingering === 1 }, 'it lingers')
  await client.fin()
  clock.after(2000 - 1, () => { clock.after(1, () => drain.hardStop()) })
  await clock.pass(2000)
  const report = await draining
  t.same(report.connections, { total: 1, 'timed-out': 1, cut: 0, ...outcomes })
  t.match(report.stragglers, [{ outcome: 'timed-out', state: 'lingering' }])
  t.equal(report.stragglers.length, 1)
  t.equal(clock.timers, 0, 'no timer is left behind')
})

t.test('a connection that was given up in the turn in which the drain begins is no part of it', async t => {
  const { clock, drain, listen } = drainByHand(t, { lingerTimeout: 60_000, lingerTime: 2000 })
  const connect = await listen((_request, answer) => { answer.end('hello') })
  const client = await connect()
  client.write(request('/', { headers: { connection: 'close' } }))
  await client.fin()
  await eventually(() => drain.connections.counts().lingering === 1, 'it lingers')
  let draining: ReturnType<typeof drain.begin> | undefined
  clock.after(2000 - 1, () => { clock.after(1, () => { draining = drain.begin('test') }) })
  await clock.pass(2000)
  const report = await draining
  t.same(report?.connections, { total: 0, 'timed-out': 0, cut: 0, ...outcomes })
  t.same(report?.stragglers, [])
})
