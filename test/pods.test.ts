import t from 'tap'
import { missingProxies } from './interop/proxies/proxy.ts'
import { latest, scales, scheduleOf } from './pods/schedule.ts'
import { simulate } from './pods/simulation.ts'

// Pods that are replaced behind HAProxy, nginx and Caddy; `npm run pods -- --schedules 50` goes on where this ends.
const missing = missingProxies()
const skip = missing.length > 0 && `missing: ${missing.join(', ')}`
if (skip !== false && process.env.CI === 'true') t.fail(skip)
t.setTimeout(300_000)

const scale = scales.small
const pace = { users: 3, think: 20 }
const seeds = [1, 2, 3]

t.test('a pod that goes on serving for longer than its proxies take to hear of its end loses no request', { skip }, async t => {
  const { replaced, accounts } = await simulate(t, { ...pace, scale, schedules: seeds.map(seed => scheduleOf(seed, 2, scale)) })
  for (const { schedule: { seed }, ended, readiness, seen } of replaced) {
    t.comment(`seed ${seed}: exit after ${ended.ms} ms; ${seen.map(({ proxy, removedAfter }) => `${proxy} ${removedAfter}`).join(', ')} ms`)
    t.match(ended, { code: 0, killed: false }, `seed ${seed}: it ends by itself, within its grace period`)
    t.equal(readiness, 503, `seed ${seed}: it says that it is not ready while it goes on serving`)
    for (const { proxy, removedAfter, failures } of seen) {
      // Nothing is promised where this machine has kept the proxy from hearing of it in time.
      if (removedAfter < scale.shutdownDelay) t.same(failures, [], `seed ${seed}: ${proxy}`)
      else t.comment(`seed ${seed}: ${proxy} took ${removedAfter} ms`)
    }
  }
  t.ok(replaced.flatMap(({ seen }) => seen).some(({ removedAfter }) => removedAfter < scale.shutdownDelay), 'something was tried')
  for (const { proxy, sent, executedButLost, receivedTwice } of accounts) {
    t.comment(`${proxy}: ${sent} sent`)
    t.ok(sent > 50, `${proxy}: the clients went on`)
    t.same({ executedButLost, receivedTwice }, { executedButLost: 0, receivedTwice: 0 }, proxy)
  }
})

t.test('without a lame duck requests are lost behind each of them until it hears of the end, none of them executed', { skip }, async t => {
  const { replaced, accounts } = await simulate(t, {
    ...pace, scale: { ...scale, shutdownDelay: 0 }, schedules: seeds.slice(0, 1).map(seed => latest(scheduleOf(seed, 2, scale), scale))
  })
  for (const { proxy, failures } of replaced.flatMap(({ seen }) => seen)) t.ok(failures.length > 0, `${proxy}: ${failures.length} failed`)
  for (const { proxy, lost, executedButLost } of accounts) t.match({ lost, executedButLost }, { lost: Number, executedButLost: 0 }, `${proxy}: ${lost} lost`)
})
