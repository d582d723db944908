import t from 'tap'
import { run } from '../fuzz/run.ts'
import type { Sequence } from '../fuzz/sequence.ts'

// The fuzzer: over TLS Node forgets the write of the 400, and the connection stayed open until the deadline, or for ever.
const sequence: Sequence = {
  server: 'https',
  observed: false,
  options: {
    shutdownDelay: 0, idleGrace: 20, closeSpread: 0, peerCloseTimeout: 20, lingerTimeout: 150, lingerTime: 300, hardStop: 'destroy', hardStopAfter: 10_000
  },
  operations: [
    { do: 'half a head', client: 0, bytes: 1 },
    { do: 'half a head', client: 1, bytes: 8 },
    { do: 'request', client: 2, route: '/stream', asksClose: false },
    { do: 'RST', client: 0 },
    { do: 'wait', for: 'ms', ms: 2 },
    { do: 'wait', for: 'rest' }
  ]
}

t.test('a connection that its client resets behind half a head is closed, over TLS as well', async t => {
  const { wrong, done } = await run(sequence)
  t.same(wrong, [])
  t.equal(done.length, sequence.operations.length)
})
