import t from 'tap'
import { run } from '../fuzz/run.ts'
import type { Sequence } from '../fuzz/sequence.ts'

// The fuzzer: Node 20 keeps a session that has failed because a frame is too large, reads nothing more, and keeps each frame
// that it shall send in its queue. Its connection was cut at the deadline.
const begin = [
  { do: 'connect', client: 0, handshake: 'whole', closesAfter: 0, ignoresPing: false },
  { do: 'garbage', client: 0, seed: 1315 }
] as const

const sequences: Array<[string, Sequence['operations']]> = [
  ['that has just begun', [...begin]],
  ['with a stream that is open', [begin[0], { do: 'request', client: 0, route: '/events', asksClose: false }, { do: 'wait', for: 'rest' }, begin[1], { do: 'wait', for: 'rest' }]]
]

for (const [which, operations] of sequences) {
  t.test(`a session ${which}, whose client breaks the rules of HTTP/2, is closed before the deadline`, async t => {
    const { wrong } = await run({
      server: 'h2c',
      observed: true,
      options: {
        shutdownDelay: 0, idleGrace: 60, closeSpread: 40, peerCloseTimeout: 50, lingerTimeout: 150, lingerTime: 300, hardStop: 'destroy', hardStopAfter: 10000
      },
      operations
    })
    t.same(wrong, [])
  })
}
