import t from 'tap'
import { startClients } from './helpers/keep-alive-clients.ts'
import { startPage } from './helpers/environment.ts'
import { eventually } from './helpers/app.ts'
import { unusedPort, type Program } from './helpers/systemd.ts'

t.test('the primary of the page about node:cluster replaces its workers under load, and loses nothing; SIGTERM ends all', async t => {
  const { program, port } = await startPage(t, 'cluster', { env: { WORKERS: '2' } })
  await listening(program, 2)
  const clients = startClients(t, { port })
  await clients.answers(200)
  program.kill('SIGUSR2')
  await listening(program, 4)
  await ended(program, 2)
  // The last answers of the old ones may still be on their way.
  await clients.answers(60)
  clients.tally.pids.clear()
  await clients.answers(100)
  const { answered, connections, failed, pids } = await clients.stop()
  t.comment(`${answered} answered on ${connections} connections by ${pids.size} workers`)
  t.same(failed, {})
  t.same([...pids].sort(), [...pidsOf(program)].slice(2).sort(), 'the new ones answer')
  t.ok(connections <= 40, 'the 30 clients have kept their connections, but for those whose request was on its way')

  program.kill('SIGTERM')
  t.match(await program.exited, { code: 0, signal: null })
  t.equal(pidsOf(program).size, 4, 'no worker was started that nobody needs')
})

t.test('a worker that crashes is replaced', async t => {
  // With port 0 it would get another one.
  const { program, port } = await startPage(t, 'cluster', { env: { WORKERS: '1', PORT: String(await unusedPort()) } })
  const [pid] = pidsOf(program)
  process.kill(pid as number, 'SIGKILL')
  await listening(program, 2)
  t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200)
  program.kill('SIGTERM')
  t.match(await program.exited, { code: 0, signal: null })
})

function pidsOf ({ told }: Program): Set<number> {
  return new Set(told.filter(({ msg }) => /^Server listening/.test(msg)).map(({ pid }) => pid))
}

async function listening (program: Program, count: number): Promise<void> {
  await program.tellsWhere(() => pidsOf(program).size >= count, `${count} workers listen`)
}

async function ended (program: Program, count: number): Promise<void> {
  await eventually(() => program.told.filter(({ msg }) => /^drain: closed/.test(msg)).length >= count, `${count} workers have left`)
}
