import { deferred, eventually } from '../helpers/app.ts'
import type { Row, Tests } from '../helpers/rows.ts'

const long = 'x'.repeat(2 * 1024 * 1024)
const tests: Tests = {}

const sessionEnds = 'a client of HTTP/2 ends its streams; with its FIN Node ends the session (see 32)'

for (const when of ['in steady state', 'when a drain begins', 'during a drain']) {
  tests[`a client that half-closes while its answer is pending gets the whole of it, then FIN, ${when}`] = async (t, server) => {
    const go = deferred()
    const { app, to } = await server.start(t, { idleGrace: 0, peerCloseTimeout: 8000 }, app => app.get('/', async () => {
      await go.promise
      return long
    }))
    const client = await server.client(t, to)
    const pending = client.ask('/')
    await eventually(() => app.drain.connections.active === 1, 'the request is under way')
    if (when === 'during a drain') app.drain.begin('test')
    client.wire.end()
    // Nothing tells that its FIN has arrived, since nothing must happen.
    await new Promise(resolve => setTimeout(resolve, 100))
    if (when === 'when a drain begins') app.drain.begin('test')
    go.resolve()
    const { status, body } = await pending.answer()
    t.equal(status, 200)
    t.ok(body === long)
    await client.wire.raw.fin()
    t.equal(await client.wire.raw.closed(), null, 'no RST')
    t.equal(client.isTold, when !== 'in steady state')
    if (when !== 'in steady state') t.match(await app.drain.begin(), { connections: { total: 1, 'peer-closed': 1 } })
  }
}

export default {
  number: 10,
  situation: 'client half-closes first, answer pending',
  expected: 'the whole answer arrives, then FIN',
  notOn: { h2c: sessionEnds, h2: sessionEnds },
  tests
} satisfies Row
