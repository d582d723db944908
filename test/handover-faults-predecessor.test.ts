import t from 'tap'
import { eventually } from './helpers/app.ts'
import { load } from './helpers/handover-clients.ts'
import { elsewhere, ends, fails, inTheMiddle, twice } from './helpers/handover-faults.ts'
import { strike, type Plan, type Strike } from './helpers/handover-plan.ts'
import { faultyService } from './helpers/handover-service.ts'

// They wait most of the time.
t.jobs = 2
t.setTimeout(400_000)

const skip = elsewhere()

const endings: Array<[string, Plan]> = [
  ['SIGTERM when it has just started a successor', strike('predecessor', 'spawn', 'SIGTERM')],
  ['SIGTERM when the successor has said hello', strike('predecessor', 'hears hello', 'SIGTERM')],
  ['SIGTERM in the middle of the transfer', strike('predecessor', 'sends offer', 'SIGTERM', inTheMiddle)],
  ['SIGTERM when it has just given connections away', strike('predecessor', 'sends yours', 'SIGTERM')],
  ['app.close() when the successor is ready', strike('predecessor', 'hears ready', 'close')],
  ['app.drain.begin() in the middle of the transfer', strike('predecessor', 'hears have', 'begin', inTheMiddle)]
]

t.test('a predecessor that is told to end in the middle drains, and takes its successor along', { skip }, async t => {
  for (const [what, plan] of endings) {
    // On a busy machine a client may be late with its request.
    const service = await faultyService(t, { options: { idleGrace: 2000 } })
    const clients = load({ port: service.port, clients: 8 })
    await eventually(() => clients.answered > 50, 'the clients are at work')
    t.match(await fails(service, plan), /it has failed: .*: this process was told to close meanwhile; its successor closes as well/, what)
    await service.ended(service.pid)
    for (const pid of service.pids) await service.ended(pid)
    await clients.stop()
    // With the last process goes the listener, and whoever has just connected.
    const ledger = service.ledger()
    t.same(clients.broken.filter(({ id, isFirst }) => !isFirst || ledger.has(id)), [], 'no request was lost')
    t.same(twice(service), [], 'nothing was executed twice')
    t.same(service.pids.slice(1).flatMap(pid => service.errors(pid)), [], 'the successor has no error')
    t.equal(service.errors(service.pid).length, 1, service.errors(service.pid).join('\n'))
  }
})

t.test('what comes in the middle and means nothing changes nothing', { skip }, async t => {
  for (const plan of [
    strike('predecessor', 'hears hello', 'SIGUSR2'),
    strike('predecessor', 'sends offer', 'handover', inTheMiddle),
    strike('successor', 'sends hello', 'garbage'),
    strike('successor', 'hears offer', 'garbage', inTheMiddle),
    strike('successor', 'sends hello', 'chatter')
  ]) {
    const [{ side, at, action }] = plan.strikes as [Strike]
    const service = await faultyService(t)
    const clients = load({ port: service.port, clients: 8 })
    await eventually(() => clients.answered > 50, 'the clients are at work')
    service.plan(plan)
    process.kill(service.pid, 'SIGUSR2')
    await service.line(`${action} when the ${side} ${at}`, ({ event }) => event === 'struck')
    await service.ended(service.pid)
    await clients.stop()
    t.same({ broken: clients.broken, refused: clients.refused, reconnects: clients.reconnects }, { broken: [], refused: [], reconnects: 0 }, `${action}: nobody has noticed`)
    t.equal(service.pids.length, 2, 'there is one successor')
    t.same(service.pids.flatMap(pid => service.errors(pid)), [])
    await ends(service, service.pids[1] as number)
  }
})
