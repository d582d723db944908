import t from 'tap'
import { closesToo } from './helpers/drain-service.ts'
import { missingForPid1, startAsPid1 } from './helpers/drain-pid1.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'

const skip = missingForPid1()
// Where everything has to be tested, a missing tool is a failure.
if (skip !== false && process.env.CI === 'true') t.fail(skip)

const fixture = (name: string): URL => new URL(`./fixtures/${name}`, import.meta.url)

t.test('row 20: http: as PID 1, SIGTERM drains: the request in flight is answered, and the process exits with 0', { skip }, async t => {
  const service = startAsPid1(t, fixture('signals-app.ts'), { OPTIONS: '{"idleGrace":100,"peerCloseTimeout":100}' })
  const { port } = await service.told('listening')
  const client = await rawClient(t, { host: '127.0.0.1', port })
  client.write(request('/slow'))
  await service.told('request')
  service.kill('SIGTERM')
  t.equal(await closesToo(client), null)
  t.match(answers(client.received), [{ status: 200, headers: { connection: 'close' }, body: 'at last' }])
  t.match(await service.exited, { code: 0, signal: null })
})

t.test('row 20: http: as PID 1, a second SIGTERM is a hard stop, and the process exits with 1', { skip }, async t => {
  const service = startAsPid1(t, fixture('signals-app.ts'), { OPTIONS: '{"idleGrace":100}' })
  const { port } = await service.told('listening')
  const client = await rawClient(t, { host: '127.0.0.1', port })
  client.write(request('/endless'))
  await service.told('request')
  service.kill('SIGTERM')
  await service.told('draining')
  service.kill('SIGTERM')
  t.match(await service.exited, { code: 1, signal: null })
  await closesToo(client)
  t.equal(client.received, '')
})

t.test('row 20: http: as PID 1, SIGTERM while plugins still load is not lost: nothing listens, and the process ends', { skip }, async t => {
  const service = startAsPid1(t, fixture('signals-loading.ts'))
  t.equal((await service.told('loading')).pid, 1)
  service.kill('SIGTERM')
  t.match(await service.told('refused'), { code: 'FST_DRAIN_CLOSING' })
  t.match(await service.exited, { code: 0, signal: null })
  t.notOk(service.messages.some(({ type }) => ['listens', 'listening'].includes(type)))
})
