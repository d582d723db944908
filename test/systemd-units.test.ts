import t from 'tap'
import { eventually } from './helpers/app.ts'
import { startConnectionLoad } from './helpers/connection-load.ts'
import { compiled } from './helpers/example.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { analyzeUnits, lacksSystemd, startExample } from './helpers/systemd-example.ts'

const skip = lacksSystemd()
const program = compiled('systemd/app')

analyzeUnits('app')

t.test('systemd starts the service at the first connection, and restarts it under load: nothing is lost', { skip }, async t => {
  const example = await startExample(t, 'app', program)
  const { systemctl, show, host, port } = example
  await systemctl('start', 'app.socket')
  t.equal(await show('app.service', 'ActiveState'), 'inactive')
  const load = startConnectionLoad(t, { to: { host, port }, fresh: 20, kept: 20 })
  await load.answers(200)
  t.equal(await show('app.service', 'ActiveState'), 'active', 'READY=1 has come')

  const pids = new Set([await example.pid()])
  for (let i = 0; i < 2; i++) {
    // It returns when the next process is ready.
    await systemctl('restart', 'app.service')
    pids.add(await example.pid())
    await load.answers(200)
  }
  const tally = await load.stop()
  t.comment(`${tally.answered} answered on ${tally.connections} connections`)
  t.same(tally.failed, {})
  t.equal(pids.size, 3)
  t.notOk(pids.has(0))
  t.same(example.logged(40), [], 'the hardening of the unit is in nobody\'s way')
  t.equal(await show('app.socket', 'SubState'), 'running', 'the socket was never closed')
})

t.test('systemd sees the service stopping while it drains, and gives it more than TimeoutStopSec when it asks', { skip }, async t => {
  const example = await startExample(t, 'app', program, 'TimeoutStopSec=1\n')
  const { systemctl, show, host, port } = example
  await systemctl('start', 'app.socket')
  const client = await rawClient(t, { host, port })
  client.write(request('/slow'))
  // It is read when another one is answered.
  const second = await rawClient(t, { host, port })
  second.write(request('/', { headers: { connection: 'close' } }))
  await second.fin()
  second.halfClose()

  const stopping = systemctl('stop', 'app.service')
  await eventually(() => example.log().some(({ msg }) => msg.startsWith('drain: ')), 'the drain has begun')
  t.equal(await show('app.service', 'ActiveState'), 'deactivating')
  t.match(await show('app.service', 'StatusText'), /1 active|draining/)
  await client.fin()
  client.halfClose()
  t.match(answers(client.received), [{ status: 200 }], 'two seconds are more than TimeoutStopSec=1')
  await stopping
  t.equal(await show('app.service', 'ActiveState'), 'inactive')
  t.equal(await show('app.service', 'Result'), 'success')

  // The socket is still there: the next connection starts the service again.
  const third = await rawClient(t, { host, port })
  third.write(request('/', { headers: { connection: 'close' } }))
  await third.fin()
  third.halfClose()
  t.match(answers(third.received), [{ status: 200 }])
})

t.test('a service whose app never listens is not ready, and its start fails', { skip }, async t => {
  const silent = [
    "import Fastify from 'fastify'",
    "import drain from 'fastify-drain'",
    'await Fastify().register(drain)',
    'setInterval(() => {}, 1000)'
  ].join('\n')
  const { systemctl, show } = await startExample(t, 'app', silent, 'TimeoutStartSec=2\nRestart=no\n')
  await t.rejects(systemctl('start', 'app.service'))
  t.equal(await show('app.service', 'Result'), 'timeout')
})
