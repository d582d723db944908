import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startConnectionLoad } from './helpers/connection-load.ts'
import { closesToo } from './helpers/drain-service.ts'
import { compiled } from './helpers/example.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { analyzeUnits, lacksSystemd, startExample } from './helpers/systemd-example.ts'

const skip = lacksSystemd()
const script = compiled('handover')

analyzeUnits('handover')

/** For what systemd tells nobody; at most 20 s. */
async function until (probe: () => Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; !await probe(); i++) {
    if (i === 200) throw new Error(`this did not come true: ${what}`)
    await sleep(100)
  }
}

t.test('systemctl reload hands over under load: systemd follows the service to its successor, and nothing is lost', { skip }, async t => {
  const example = await startExample(t, 'handover', script)
  const { systemctl, show, host, port, pid } = example
  await systemctl('start', 'handover.service')
  const kept = startConnectionLoad(t, { to: { host, port }, kept: 20 })
  const fresh = startConnectionLoad(t, { to: { host, port }, fresh: 5 })
  await kept.answers(100)
  const pids = [await pid()]
  for (let i = 0; i < 2; i++) {
    await systemctl('reload', 'handover.service')
    pids.push(await pid())
    t.equal(await show('handover.service', 'ActiveState'), 'active', 'systemctl has waited for the successor')
    await kept.answers(100)
    await fresh.answers(20)
  }
  t.equal(new Set(pids).size, 3, `${pids}`)
  t.notOk(pids.includes(0))
  t.match(await kept.stop(), { failed: {}, connections: 20 }, 'nobody was disconnected')
  t.same((await fresh.stop()).failed, {})
  t.equal(await show('handover.service', 'NRestarts'), '0')

  // The service as systemd sees it is the successor: it stops with it, and not before.
  const client = await rawClient(t, { host, port })
  client.write(request('/slow'))
  const second = await rawClient(t, { host, port })
  second.write(request('/', { headers: { connection: 'close' } }))
  await closesToo(second)
  t.match(answers(second.received), [{ body: `{"pid":${pids[2]},"cached":1}` }])
  const stopping = systemctl('stop', 'handover.service')
  await closesToo(client)
  t.match(answers(client.received), [{ status: 200 }])
  await stopping
  t.equal(await show('handover.service', 'Result'), 'success')
  t.same(example.logged(40), [], 'the hardening of the unit is in nobody\'s way')
})

t.test('a reload that fails leaves the service as it is, and one that comes later succeeds; a successor that crashes is restarted on the same socket', { skip }, async t => {
  const example = await startExample(t, 'handover', script)
  const { systemctl, show, host, port, pid, deploy } = example
  await systemctl('start', 'handover.socket', 'handover.service')
  const before = await pid()
  deploy('throw new Error("a bad version")')
  await systemctl('reload', 'handover.service')
  await until(async () => await show('handover.service', 'ActiveState') === 'active', 'READY=1 has come')
  t.equal(await pid(), before)
  t.match(example.logged(50), ['handover: it has failed'])
  t.equal((await ask()).pid, before)

  deploy(script)
  await systemctl('reload', 'handover.service')
  const successor = await pid()
  t.not(successor, before)
  t.equal((await ask()).pid, successor)

  await systemctl('kill', '--kill-who=main', '--signal=KILL', 'handover.service')
  // It waits in the socket of systemd until the next process listens.
  const answer = await ask()
  t.notOk([before, successor].includes(answer.pid))
  await until(async () => await pid() === answer.pid && await show('handover.service', 'ActiveState') === 'active', 'it is the main process')
  t.equal(await show('handover.service', 'NRestarts'), '1', 'systemd has seen that the successor ended, which it has not started')
  await systemctl('stop', 'handover.socket', 'handover.service')
  t.equal(await show('handover.service', 'Result'), 'success')

  async function ask (): Promise<{ pid: number }> {
    const client = await rawClient(t, { host, port })
    client.write(request('/', { headers: { connection: 'close' } }))
    t.equal(await closesToo(client), null)
    const [answer] = answers(client.received)
    return JSON.parse(answer?.body ?? '{}')
  }
})
