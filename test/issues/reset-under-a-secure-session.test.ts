import t from 'tap'
import { run } from '../fuzz/run.ts'
import type { Sequence } from '../fuzz/sequence.ts'

// The fuzzer: Node does not hear of the RST, keeps the last frame of the session, and its connection was cut at the deadline.
const sequence: Sequence = {
  server: 'h2',
  observed: false,
  options: {
    shutdownDelay: 0, idleGrace: 20, closeSpread: 40, peerCloseTimeout: 20, lingerTimeout: 150, lingerTime: 160, hardStop: 'destroy', hardStopAfter: 10000
  },
  operations: [
    { do: 'request', client: 2, route: '/events', asksClose: false },
    { do: 'go on with the handshake', client: 2 },
    { do: 'request', client: 0, route: '/empty', asksClose: false },
    { do: 'a piece of the body', client: 1 },
    { do: 'close frame', client: 1 },
    { do: 'connect', client: 2, handshake: 'none', closesAfter: 0, ignoresPing: true },
    { do: 'connect', client: 0, handshake: 'whole', closesAfter: 10, ignoresPing: true },
    { do: 'close frame', client: 2 },
    { do: 'GOAWAY', client: 0 },
    { do: 'connect', client: 1, handshake: 'begun', closesAfter: 0, ignoresPing: false },
    { do: 'message', client: 2 },
    { do: 'reset a stream', client: 1 },
    { do: 'go on with the handshake', client: 2 },
    { do: 'wait', for: 'rest' },
    { do: 'the rest of the body', client: 2 },
    { do: 'message', client: 1 },
    { do: 'RST', client: 0 },
    { do: 'the rest of the body', client: 1 },
    { do: 'a piece of the body', client: 0 },
    { do: 'the rest of the head', client: 1 }
  ]
}

t.test('a secure HTTP/2 session whose client says GOAWAY and resets its connection is closed before the deadline', async t => {
  const { wrong } = await run(sequence)
  t.same(wrong, [])
})
