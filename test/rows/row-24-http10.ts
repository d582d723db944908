import { Readable } from 'node:stream'
import type { Row, Tests } from '../helpers/rows.ts'
import { leave, takes } from '../helpers/wire.ts'

const tests: Tests = {}

for (const keepAlive of ['', 'Connection: keep-alive\r\n']) {
  const who = `an HTTP/1.0 client ${keepAlive === '' ? 'without' : 'with'} keep-alive`

  tests[`the body without a length of ${who} is ended by FIN at once, and never by RST`] = async (t, server) => {
    const body = new Readable({ read () {} })
    body.push('first, ')
    const { app, to } = await server.start(t, { idleGrace: 5000, peerCloseTimeout: 8000 }, app => {
      app.get('/', async (_request, reply) => reply.send(body))
    })
    const began = performance.now()
    const wire = await server.wire(t, to)
    wire.write(`GET / HTTP/1.0\r\n${keepAlive}\r\n`)
    await wire.until(() => wire.received.includes('first'), 'the beginning')
    const closing = app.drain.begin('test')
    body.push('second')
    body.push(null)
    await wire.raw.fin()
    t.ok(performance.now() - began < 5000, 'peerCloseTimeout is not waited for')
    t.ok(await takes(wire, 'GET / HTTP/1.0\r\n\r\n'), 'no RST')
    t.match(wire.received, /\r\n\r\nfirst, second$/)
    t.equal(await leave(wire), null)
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, 'half-closed': 1 } })
  }

  tests[`${who} is told to close, and gets FIN, never RST`] = async (t, server) => {
    const { app, to } = await server.start(t, { idleGrace: 1000 })
    const wire = await server.wire(t, to)
    const closing = app.drain.begin('test')
    wire.write(`GET / HTTP/1.0\r\n${keepAlive}\r\n`)
    await wire.raw.fin()
    t.match(wire.received, /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n.*hello$/is)
    t.ok(await takes(wire, 'GET / HTTP/1.0\r\n\r\n'), 'no RST')
    t.equal(await leave(wire), null)
    t.match(await closing, { requests: { served: 1 }, connections: { total: 1, 'half-closed': 1 } })
  }
}

export default {
  number: 24,
  situation: 'HTTP/1.0 with and without keep-alive, close-delimited body',
  expected: 'FIN ends the body, never RST',
  notOn: { h2c: 'a body of HTTP/2 has an end of its own', h2: 'a body of HTTP/2 has an end of its own' },
  tests
} satisfies Row
