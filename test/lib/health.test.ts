import t from 'tap'
import type { Server } from 'node:http'
import { Health, type Probe } from '../../lib/health.ts'
import type { DrainPhase } from '../../lib/report.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { request } from '../helpers/raw-client.ts'
import { httpPair } from '../helpers/unit-http-server.ts'

const none = { new: 0, active: 0, idle: 0, upgraded: 0, lingering: 0, streams: 0 }

function health ({ phase = 'serving' as DrainPhase, hasSuccessor = false, cost = 0 } = {}) {
  const clock = new FakeClock()
  const drain = {
    phase,
    hasSuccessor,
    counted: 0,
    connections: {
      counts () {
        drain.counted++
        clock.advance(cost)
        return { ...none, idle: drain.counted }
      }
    }
  }
  const paths = { readiness: '/readyz', liveness: '/livez' }
  const made = new Health({ paths, clock, log: { trace () {} }, drain })
  const [readiness, liveness] = made.probes as [Probe, Probe]
  return { clock, drain, health: made, readiness, liveness }
}

for (const [phase, status] of [['serving', 200], ['lame-duck', 503], ['draining', 503], ['aborting', 503], ['closed', 503]] as const) {
  t.test(`${phase}: readiness is ${status}, liveness 200`, async t => {
    const { health: made, readiness, liveness } = health({ phase })
    t.match(made.answer(readiness, 'GET'), { status, body: status === 200 ? `{"status":"ok","phase":"${phase}"}` : new RegExp(`^{"status":"draining","phase":"${phase}","connections":{`) })
    t.match(made.answer(liveness, 'GET'), { status: 200, body: `{"status":"ok","phase":"${phase}"}` })
  })
}

t.test('who leaves to a successor is ready: the service is there, at the same address', async t => {
  const { health: made, readiness } = health({ phase: 'lame-duck', hasSuccessor: true })
  t.match(made.answer(readiness, 'GET'), { status: 200, body: '{"status":"ok","phase":"lame-duck"}' })
})

t.test('counting many connections takes no more than a small part of the time, however often somebody asks', async t => {
  const { clock, drain, health: made, readiness } = health({ phase: 'draining', cost: 4 })
  for (let ms = 0; ms < 1000; ms++) {
    made.answer(readiness, 'GET')
    clock.advance(1)
  }
  t.ok(drain.counted * 4 <= 0.03 * clock.now(), `${drain.counted} times in ${clock.now()} ms`)
  t.ok(drain.counted > 2, 'and counts are not kept for ever')
})

t.test('counts are at most a second old, and new for each probe where they cost nothing', async t => {
  const expensive = health({ phase: 'draining', cost: 500 })
  expensive.health.answer(expensive.readiness, 'GET')
  expensive.clock.advance(1000)
  t.match(expensive.health.answer(expensive.readiness, 'GET').body, /"idle":2/)
  const cheap = health({ phase: 'draining' })
  for (const idle of [1, 2, 3]) t.match(cheap.health.answer(cheap.readiness, 'GET').body, new RegExp(`"idle":${idle}`))
})

t.test('listeners of a server hear of everything else, in their order and once, also when it is told twice', async t => {
  const heard: string[] = []
  const { health: made } = health()
  const { client, server } = await httpPair(t, (_request, answer) => {
    heard.push('first')
    answer.end('hello')
  }, (server: Server) => {
    server.on('request', () => heard.push('second'))
    server.once('request', () => heard.push('once'))
    made.answerOn(server)
    made.answerOn(server)
  })
  t.equal(server.listenerCount('request'), 1)
  client.write(request('/livez'))
  await client.until(/"ok"/)
  t.same(heard, [])
  for (let i = 1; i <= 2; i++) {
    client.write(request('/'))
    await client.until(received => received.split('hello').length > i)
  }
  t.same(heard, ['first', 'second', 'once', 'first', 'second'])
})
