import t from 'tap'
import { startExample } from './helpers/example.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

t.test('examples/handover.ts goes on in another process after SIGUSR2: its clients keep their connections', async t => {
  const { example, to } = await startExample(t, 'handover')
  const idle = await rawClient(t, to)
  idle.write(request('/'))
  await idle.until(new RegExp(`{"pid":${example.pid},`))
  const busy = await rawClient(t, to)
  busy.write(request('/slow'))
  // It has been read when a later one is answered.
  idle.write(request('/'))
  await idle.until(text => answers(text).length === 2)

  example.kill('SIGUSR2')
  const { successor } = await example.tellsWhere(({ msg }) => /has taken over/.test(msg), 'the handover')
  idle.write(request('/'))
  await idle.until(new RegExp(`{"pid":${successor},"cached":1}`))
  await busy.until(new RegExp(`{"slow":true,"pid":${example.pid}}`))
  // A request that follows at once may be answered there, too.
  await example.tells({ pid: example.pid, phase: 'closed' })
  busy.write(request('/'))
  await busy.until(new RegExp(`{"pid":${successor},"cached":1}`))
  for (const client of [idle, busy]) t.notMatch(client.received, /connection: close/i)

  process.kill(successor, 'SIGTERM')
  for (const client of [idle, busy]) {
    await client.fin()
    client.halfClose()
  }
  t.match(await example.exited, { code: 0, signal: null }, 'the first process, and its output has ended with that of the second one')
  await example.tells({ pid: successor, phase: 'closed' })
})
