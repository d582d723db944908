import t from 'tap'
import { missingProxies } from './interop/proxies/proxy.ts'
import { restartBehindProxies } from './interop/proxies/restart.ts'
import { variants } from './interop/proxies/variants.ts'

const missing = missingProxies()
const skip = missing.length > 0 && `missing: ${missing.join(', ')}`
// Processes, proxies and a browser take their time on a machine that is busy with other things.
t.setTimeout(300_000)
// Where everything has to be tested, a missing tool is a failure.
if (skip !== false && process.env.CI === 'true') t.fail(skip)

const users = 8

t.test('behind nginx, HAProxy and Caddy with connections kept alive a restart loses no request', { skip }, async t => {
  const { rows, stops } = await restartBehindProxies(t, variants, { restarts: 1, settle: 400, users, think: 20 })
  for (const { title, sent, logged, ...row } of rows) {
    t.comment(`${title}: ${sent} sent`)
    t.match(row, { lost: 0, errors: {}, receivedTwice: 0, executedButLost: 0 }, title)
    t.ok(sent > 4 * users, 'the clients went on')
    if (logged !== null) t.same({ logged, retried: row.retried }, { logged: sent, retried: 0 }, `${title}: the proxy has sent each request once`)
  }
  t.same(stops.map(({ code }) => code), Array(stops.length).fill(0), 'every server has ended as it should')
})
