import t from 'tap'
import { faultyService } from './helpers/handover-service.ts'
import { load } from './helpers/handover-clients.ts'
import { eventually } from './helpers/app.ts'

t.test('a process that listens to no signal hands over when it is asked to, and ends', { timeout: 120_000 }, async t => {
  const service = await faultyService(t, { options: { signals: false }, strikes: [{ side: 'predecessor', at: 'listens', action: 'handover', after: 500 }] })
  const clients = load({ port: service.port, clients: 4 })
  await service.ended(service.pid)
  const [, successor] = service.pids
  t.same(service.alive(), [successor])
  const before = clients.answered
  await eventually(() => clients.answered > before + 10, 'the successor serves')
  await clients.stop()
  t.same({ broken: clients.broken, refused: clients.refused, reconnects: clients.reconnects }, { broken: [], refused: [], reconnects: 0 })
  t.same(service.pids.flatMap(pid => service.errors(pid)), [])
  process.kill(successor as number, 'SIGKILL')
  await service.ended(successor as number)
})
