import t from 'tap'
import { closesToo, startService } from './helpers/drain-service.ts'

// The deadline is 25 s; nothing here waits for it.
const soon = 10_000

for (const [first, second] of [['SIGTERM', 'SIGTERM'], ['SIGINT', 'SIGTERM']] as const) {
  t.test(`row 20: http: ${second} after ${first} is a hard stop: RST if so wished, and exit 1 at once`, async t => {
    const service = await startService(t, { hardStop: 'reset' })
    const client = await service.asking('/endless')
    service.child.kill(first)
    await service.told('draining')
    service.child.kill(second)
    const sent = performance.now()
    const { localPort } = client.socket
    t.equal(await closesToo(client), 'ECONNRESET')
    const { at, ...exit } = await service.exited
    t.same(exit, { code: 1, signal: null })
    t.ok(at - sent < soon)
    t.match(service.logged().find(({ report }) => report !== undefined), {
      level: 40,
      msg: new RegExp(`127\\.0\\.0\\.1:${localPort} GET /endless`),
      report: { connections: { total: 1, cut: 1 }, stragglers: [{ remotePort: localPort, outcome: 'cut' }] }
    }, 'the summary names it')
  })
}

t.test('row 20: http: a second signal ends the lame-duck phase, too', async t => {
  const service = await startService(t, { shutdownDelay: 20_000 })
  const client = await service.asking('/endless')
  service.child.kill('SIGTERM')
  await service.told('draining')
  service.child.kill('SIGTERM')
  const sent = performance.now()
  const { code, at } = await service.exited
  t.equal(code, 1)
  t.ok(at - sent < soon)
  await client.fin()
})

t.test('row 20: http: a second signal does not wait for an onClose hook that hangs', async t => {
  const service = await startService(t, { idleGrace: 50 }, 'hangs')
  service.child.kill('SIGTERM')
  await service.told('draining')
  await service.told('hook')
  service.child.kill('SIGTERM')
  const sent = performance.now()
  const { code, at } = await service.exited
  t.equal(code, 1)
  t.ok(at - sent < soon)
})

t.test('an error that nobody caught during a drain is a hard stop, and is logged', async t => {
  const service = await startService(t, { shutdownDelay: 20_000 })
  const [endless, guilty] = [await service.asking('/endless'), await service.client()]
  service.child.kill('SIGTERM')
  await service.told('draining')
  guilty.write('GET /throw HTTP/1.1\r\nhost: test\r\n\r\n')
  const { code } = await service.exited
  t.equal(code, 1)
  await endless.fin()
  t.match(service.logged().find(({ level }) => level === 60), { err: { message: 'nobody catches this' } })
})
