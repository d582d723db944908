import t from 'tap'
import { startConnectionLoad } from './helpers/connection-load.ts'
import { compiled, startExample } from './helpers/example.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import type { Program } from './helpers/systemd.ts'

t.test('row 34: http: examples/cluster.ts replaces its workers under load, and loses nothing', async t => {
  const { example, to, deploy } = await startExample(t, 'cluster', { WORKERS: '2', READY_TIMEOUT: '60000' })
  await listening(example, 2)
  const kept = startConnectionLoad(t, { to, kept: 20 })
  const fresh = startConnectionLoad(t, { to, fresh: 5 })
  await kept.answers(50)

  example.kill('SIGUSR2')
  await example.says('all workers are replaced')
  await fresh.answers(20)
  t.match(example.lines.filter(line => / replaces /.test(line)), { length: 2 })
  t.equal(kept.tally.connections, 20, 'every client has kept its connection')

  // A version that does not come up.
  deploy(`${compiled('cluster')}\nif (!cluster.isPrimary) throw new Error('a bad version')`.replace('await worker()', '0'))
  example.kill('SIGHUP')
  await example.says('the old workers go on')
  await kept.answers(50)
  const { failed } = await kept.stop()
  t.same([failed, (await fresh.stop()).failed], [{}, {}])

  // One that crashes is replaced, by the good version again.
  deploy(compiled('cluster'))
  const [pid] = /(?<=all workers are replaced: )\d+/.exec(await example.says('all workers are replaced')) ?? []
  process.kill(Number(pid), 'SIGKILL')
  await listening(example, 5)
  const client = await rawClient(t, to)
  client.write(request('/', { headers: { connection: 'close' } }))
  await client.fin()
  client.halfClose()
  t.match(answers(client.received), [{ status: 200 }])

  example.kill('SIGTERM')
  t.match(await example.exited, { code: 0, signal: null })
})

async function listening (example: Program, count: number): Promise<void> {
  await example.tellsWhere(() => new Set(example.told.filter(({ msg }) => /^Server listening/.test(msg)).map(({ pid }) => pid)).size >= count, `${count} workers listen`)
}
