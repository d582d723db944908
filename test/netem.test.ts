import t, { type Test } from 'tap'
import { missingForBadNetwork } from './helpers/bad-network.ts'
import { missingForCapture } from './helpers/capture.ts'
import { protocols } from './netem/apps.ts'
import type { Row } from './netem/result.ts'
import { runScenarios } from './netem/scenarios.ts'

// Drains over slow and broken networks, all at the same time; `npm run netem` goes on where this ends.
const skip = missingForBadNetwork() || missingForCapture()
if (skip !== false && process.env.CI === 'true') t.fail(skip)
t.setTimeout(300_000)

t.test('networks that are slow, lossy, or broken', { skip, timeout: 300_000 }, async t => {
  const { rows, crossed, reset } = await runScenarios(t, { clients: 10, idleGrace: 2000, size: 60_000, heavy: false, seed: 1 })
  const of = (scenario: string): Row[] => rows.filter(row => row.scenario === scenario)
  const nothingIsWrong = (t: Test, scenario: string, { requests }: { requests: number }): void => {
    const found = of(scenario)
    t.same(found.map(({ protocol }) => protocol), protocols)
    for (const { protocol, wrong, notes, ms, ...row } of found) {
      t.comment(`${protocol}: ${row.requests} requests, exit after ${ms} ms; ${notes.join('; ')}`)
      t.same(wrong, [], protocol)
      t.ok(row.requests >= requests, `${protocol}: ${row.requests} requests`)
    }
  }

  await t.test('row 1: http, https, h2c, h2: far away, with packets lost and overtaken, no more is lost than idleGrace allows', async t => {
    nothingIsWrong(t, 'far away', { requests: 30 })
    const [lost, bound] = of('far away').reduce(([lost, bound], row) => [lost + row.lost, bound + (row.bound ?? 0)], [0, 0])
    t.ok(lost <= Math.max(1, bound), `${lost} lost, the bound is ${bound.toFixed(2)}`)
  })

  await t.test('row 1: http, https: a request that arrives behind our FIN is not executed, and not answered with RST', async t => {
    nothingIsWrong(t, 'request behind our FIN', { requests: 1 })
    for (const protocol of ['http', 'https'] as const) {
      const { answers, packets } = crossed
      const seen = packets[protocol] ?? []
      const local = seen.find(({ flags }) => flags === 'S')?.to
      const fin = seen.findIndex(({ from, flags }) => from === local && flags.includes('F'))
      const request = seen.findIndex(({ from, length }, i) => from !== local && length > 0 && i > fin)
      t.ok(fin > 0 && request > fin, `${protocol}: it came behind our FIN`)
      t.ok(seen.slice(request).some(({ from, flags }) => from === local && flags === '.'), `${protocol}: it was acknowledged`)
      t.notOk(seen.some(({ from, flags }) => from === local && flags.includes('R')), `${protocol}: no RST`)
      t.match(answers[protocol], { status: 0, error: 'socket hang up' }, `${protocol}: its client sees an end, not an error of TCP`)
    }
    t.equal(crossed.stopped.code, 0)
  })

  await t.test('row 26: h2c, h2: a stream that crosses the notice is served, one that crosses GOAWAY refused', async t => {
    const { h2c, h2 } = crossed.answers
    t.match(h2c, { status: 200, isWhole: true, isRefused: false })
    t.match(h2, { status: 0, isRefused: true })
  })

  await t.test('row 6: http, https, h2c, h2: at 56 kbit/s a reader gets the whole answer, and an upload its own', async t => {
    nothingIsWrong(t, '56 kbit/s', { requests: 2 })
  })

  await t.test('row 6: http, https, h2c, h2: what takes longer than hardStopAfter is cut then, and named with what was not acknowledged', async t => {
    nothingIsWrong(t, '56 kbit/s, too slow', { requests: 2 })
  })

  await t.test('a break of 3 s loses nothing that was executed, although the network ends with the process', async t => {
    nothingIsWrong(t, '3 s break', { requests: 3 })
  })

  await t.test('requests that are sent during the break are served where idleGrace is longer; a lost notice of HTTP/2 is sent again', async t => {
    nothingIsWrong(t, '3 s break from the start, idleGrace 8 s', { requests: 4 })
  })

  await t.test('row 7: http, https, h2c: a break without an end does not keep the process longer than hardStopAfter', async t => {
    nothingIsWrong(t, 'break without an end', { requests: 2 })
  })

  await t.test('a break is no lost peer to userTimeout, and what is left at the deadline is reset', async t => {
    nothingIsWrong(t, '3 s break, hardStop reset', { requests: 3 })
    for (const protocol of protocols) {
      const { connections, stragglers = [] } = reset.stopped.reports[protocol] ?? {}
      t.match(connections, { cut: 1, 'peer-lost': 0 }, protocol)
      t.match(stragglers.filter(({ outcome }) => outcome === 'cut'), [{ method: 'GET', route: /20000$/ }], protocol)
    }
    for (const protocol of ['http', 'https']) t.equal(reset.answers.find(({ id }) => id.includes(`.${protocol}.`) && id.endsWith('20000'))?.error, 'read ECONNRESET', protocol)
  })

  await t.test('the last answer, FIN and acknowledgement may be lost more than once: the process waits until its peers have everything', async t => {
    nothingIsWrong(t, 'last packets lost', { requests: 1 })
  })
})
