import t from 'tap'
import { Moments, type Moment } from '../../lib/moments.ts'
import { drainByHand } from '../helpers/unit-drain.ts'

const all = ['begin', 'draining', 'deadline'] as const

function aborted (moments: Moments): Moment[] {
  return all.filter(moment => moments.signalAt(moment).aborted)
}

t.test('each signal aborts once, at its moment, and says why', async t => {
  const moments = new Moments()
  t.same(aborted(moments), [])
  moments.reached('begin', 'SIGTERM')
  t.same(aborted(moments), ['begin'])
  t.match(moments.signalAt('begin').reason, { code: 'FST_DRAIN_DRAINING', message: /SIGTERM/ })
  moments.reached('draining', 'SIGTERM')
  t.same(aborted(moments), ['begin', 'draining'])
  const { reason } = moments.signalAt('draining')
  moments.reached('deadline', 'SIGTERM')
  t.same(aborted(moments), all)
  t.equal(moments.signalAt('draining').reason, reason)
})

t.test('at the deadline the one that has not come yet comes, too', async t => {
  const moments = new Moments()
  moments.reached('begin', 'test')
  moments.reached('deadline', 'test')
  t.same(aborted(moments), all)
})

t.test('a drain reaches them as it goes on', async t => {
  const { clock, drain, listen } = drainByHand(t, { shutdownDelay: 1000, hardStopAfter: 5000 })
  const connect = await listen()
  const client = await connect()
  client.write('GET / HTTP/1.1\r\nhost: test\r\n\r\n')
  drain.begin('test').catch(() => {})
  t.same(aborted(drain.moments), ['begin'])
  await clock.pass(999)
  t.same(aborted(drain.moments), ['begin'])
  await clock.pass(1)
  t.same(aborted(drain.moments), ['begin', 'draining'])
  await clock.pass(4000)
  t.same(aborted(drain.moments), all)
})
