import t from 'tap'
import { ask, play, puppets, transcript } from './helpers/handover-transcript.ts'
import { startProcess } from './helpers/process.ts'
import { rawClient, request } from './helpers/raw-client.ts'

// A real predecessor, and a successor that says what was recorded.
t.setTimeout(300_000)

const skip = process.platform === 'linux' ? false : 'descriptors are looked at in /proc'
const peer = new URL('./fixtures/handover-peer.ts', import.meta.url)
const { invitation, lines } = transcript(1)

t.test('a predecessor goes on serving when its successor speaks only another version, and gives the next one all that was recorded', { skip }, async t => {
  const { control, next } = await puppets(t)
  const { child, pid, message, exited } = startProcess(t, peer, { env: { CONTROL: control } })
  const { port } = await message()
  const at = { host: '127.0.0.1', port }
  const a = await rawClient(t, at)
  t.equal((await ask(a)).body.pid, pid)

  child.send('hand over')
  const refused = await next()
  refused.say({ type: 'hello', speaks: [2, 3] })
  t.match(await message(), {
    type: 'failed',
    code: 'FST_DRAIN_HANDOVER',
    message: 'fastify-drain: no handover: it takes over by version 2, 3 of the protocol, which this process does not speak; restart the service in the ordinary way once'
  })
  await refused.ended

  const [b, c, d] = [await rawClient(t, at), await rawClient(t, at), await rawClient(t, at)]
  t.equal((await ask(c)).body.pid, pid)
  d.write(request('/held'))
  await message(({ type }) => type === 'held')

  child.send('hand over')
  const successor = await next()
  t.strictSame(successor.invitation, { ...invitation, predecessor: pid })
  await play('successor', lines, {
    ...successor,
    async client (name) {
      if (name === 'c') return c.reset()
      t.match(await message(), { type: 'handed over', pid: successor.pid })
      child.send('release')
      await d.until(/\{.*\}$/)
    }
  })
  t.match(await exited, { code: 0 })
  t.equal((await successor.heard()).message, null, 'the end of the channel is the end of the handover')
  for (const client of [a, b, d]) t.notOk(client.sawFin)

  successor.serve([1, 2, 4])
  for (const [client, path] of [[a, '/a'], [b, '/b'], [d, '/d']] as const) {
    client.write(request(path))
    await client.until(new RegExp(`the puppet has read ${path}$`))
  }
})

t.test('the recorded transcript is one of a whole handover', async t => {
  const types = lines.flatMap(line => 'from' in line ? [line.message.type] : [])
  t.same(new Set(types), new Set(['hello', 'ready', 'offer', 'have', 'yours', 'took', 'forget']))
})
