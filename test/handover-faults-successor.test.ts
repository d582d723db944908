import { once } from 'node:events'
import { mkdtempSync, rmdirSync, rmSync, symlinkSync, unlinkSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { eventually } from './helpers/app.ts'
import { load } from './helpers/handover-clients.ts'
import { elsewhere, ends, fails, goesOn, inTheMiddle, twice } from './helpers/handover-faults.ts'
import { strike, type Plan } from './helpers/handover-plan.ts'
import { descriptors, faultyService } from './helpers/handover-service.ts'

// They wait most of the time.
t.jobs = 3
t.setTimeout(400_000)

const skip = elsewhere()

const fixture = fileURLToPath(new URL('fixtures/handover-faulty.ts', import.meta.url))

const failures: Array<[string, Plan, RegExp]> = [
  ['ends with a code', { fault: 'exits' }, /it has ended with code 3; this process goes on serving; see the output of its successor/],
  ['throws while it loads', { fault: 'throws' }, /it has ended with code 1;/],
  ['does not know the plugin, and so cannot bind', { fault: 'does not know the plugin' }, /it has ended with code 1;/],
  ['wants a new port that is in use', { fault: 'wants a port in use' }, /it has (ended with code 1|closed the channel)/],
  ['cannot get ready', { fault: 'cannot get ready' }, /it has closed the channel/],
  ['is killed when it has said hello', strike('successor', 'sends hello', 'SIGKILL'), /it was ended by SIGKILL;/],
  // What was sent before is still read, so that it can also seem to hang.
  ['closes the channel in the middle of the transfer', strike('successor', 'hears offer', 'disconnect', inTheMiddle), /it (has closed the channel|takes no more connections)/],
  ['is told to end in the middle of the transfer', strike('successor', 'hears offer', 'SIGTERM', inTheMiddle), /it is closing/]
]

t.test('whatever the successor does, the old process goes on serving, and the next handover works', { skip }, async t => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const folder = mkdtempSync(join(tmpdir(), 'handover-script-'))
  const script = join(folder, 'app.ts')
  t.teardown(() => rmSync(folder, { recursive: true }))
  symlinkSync(fixture, script)
  const service = await faultyService(t, { inUse: (other.address() as AddressInfo).port }, script)
  const clients = load({ port: service.port, clients: 8 })
  await eventually(() => clients.answered > 50, 'the clients are at work')
  const before = descriptors(service.pid)

  for (const [what, plan, expected] of failures) {
    t.match(await fails(service, plan), expected, `it ${what}`)
    await eventually(() => service.alive().length === 1, `the successor that ${what} is gone`)
    // Those that it had are told to close, which is another matter.
    if (!what.includes('transfer')) t.equal(clients.reconnects, 0, 'nobody has noticed')
  }
  unlinkSync(script)
  t.match(await fails(service, {}), /it has ended with code 1;/, 'its script is gone')
  symlinkSync(fixture, script)
  // Whoever connects all the time has one or two.
  await eventually(() => descriptors(service.pid) <= before + 2, 'no descriptor has leaked')
  t.equal(service.errors(service.pid).length, failures.length + 1, 'there is one error each')

  const next = await goesOn(service)
  unlinkSync(script)
  await clients.stop()
  t.same({ broken: clients.broken, refused: clients.refused }, { broken: [], refused: [] }, 'no request was lost')
  await ends(service, next)
  t.same(service.errors(next), [])
})

// What a process dies of takes with it what it has: the requests that it executes.
const deaths: Array<[string, Plan]> = [
  ['is killed in the middle of the transfer', strike('successor', 'hears offer', 'SIGKILL', inTheMiddle)],
  ['is killed when connections are its own', strike('successor', 'hears yours', 'SIGKILL')],
  ['ends in the middle of the transfer', strike('successor', 'sends took', 'exit')]
]

t.test('a successor that dies with connections takes only those with it', { skip }, async t => {
  const service = await faultyService(t)
  const clients = load({ port: service.port, clients: 8 })
  for (const [what, plan] of deaths) {
    // Those whose connections went with a successor have new ones.
    const before = clients.answered
    await eventually(() => clients.answered > before + 100, 'all clients are at work')
    t.match(await fails(service, plan), /it (was ended by SIGKILL|has ended with code 4);/, `it ${what}`)
    await eventually(() => service.alive().length === 1, 'the successor is gone')
  }
  const next = await goesOn(service)
  await clients.stop()
  t.same(clients.refused, [])
  const ledger = service.ledger()
  const killed = new Set(service.pids.filter(pid => pid !== service.pid && pid !== next))
  const lost = clients.broken.filter(({ id }) => ledger.get(id)?.executed.some(pid => !killed.has(pid)) === true)
  t.same(lost, [], 'what was executed by the others was answered')
  t.same(twice(service), [], 'nothing was executed twice')
  await ends(service, next)
})

t.test('a successor that hangs is given up, and killed', { skip }, async t => {
  const service = await faultyService(t, { readyTimeout: 1500 })
  const clients = load({ port: service.port, clients: 8 })
  await eventually(() => clients.answered > 50, 'the clients are at work')
  t.match(await fails(service, { fault: 'ignores SIGTERM' }), /it was not ready after \d+ ms; let it listen sooner, or set "readyTimeout" to more/)
  t.match(await fails(service, { fault: 'hangs' }), /it was not ready after/)
  t.match(await fails(service, { fault: 'is never ready' }), /it was not ready after/)
  await eventually(() => service.alive().length === 1, 'all of them are gone')
  t.same({ broken: clients.broken, refused: clients.refused, reconnects: clients.reconnects }, { broken: [], refused: [], reconnects: 0 }, 'nobody has noticed')
  await clients.stop()
  await ends(service, service.pid)
})

t.test('a successor that is stopped is given up', { skip }, async t => {
  const service = await faultyService(t)
  const clients = load({ port: service.port, clients: 8 })
  await eventually(() => clients.answered > 50, 'the clients are at work')
  for (const at of ['sends ready', 'hears offer']) {
    const from = service.lines.length
    t.match(await fails(service, strike('successor', at, 'SIGSTOP')), /it takes no more connections/, at)
    const { pid } = await service.line('it was stopped', ({ event }) => event === 'struck', from)
    process.kill(pid, 'SIGCONT')
    await service.ended(pid)
  }
  const next = await goesOn(service)
  await clients.stop()
  t.same({ broken: clients.broken, refused: clients.refused }, { broken: [], refused: [] }, 'nothing was lost')
  await ends(service, next)
})

t.test('a working directory that is gone is told', { skip }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'handover-cwd-'))
  const service = await faultyService(t, { folder })
  rmdirSync(folder)
  t.match(await fails(service, {}), /it cannot be started: spawn .* ENOENT/)
  await ends(service, service.pid)
})
