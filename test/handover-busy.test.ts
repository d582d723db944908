import { once } from 'node:events'
import t, { type Test } from 'tap'
import { holds, startService, type Generation } from './helpers/handover.ts'
import { http1Client } from './helpers/http1-client.ts'
import type { Exchange } from './helpers/exchange.ts'
import { plainWire, type Wire } from './helpers/wire.ts'

/*
 * One handover with all of these clients in the middle of something. The old process finishes it as if nothing were, and
 * whatever comes next on the same connection is the successor's.
 */

interface Peer {
  wire: Wire
  client: ReturnType<typeof http1Client>
  old: Generation
}

interface Case {
  name: string
  /** Before the handover; what it returns is done when the successor has taken over. */
  begin (peer: Peer): Promise<(t: Test) => Promise<void>>
  /** The connection ends with what is under way. */
  ends?: boolean
}

const pidOf = ({ body }: { body: string }): number => JSON.parse(body).pid
const half = 'x'.repeat(500_000)

/** Checks an answer of the old process. */
function isOld (t: Test, { status, headers, body }: Awaited<ReturnType<Exchange['answer']>>, { old }: Peer): void {
  t.equal(status, 200)
  t.equal(headers['connection'], 'keep-alive')
  t.equal(pidOf({ body }), old.pid, 'by the old process')
}

function halfReceived (name: string, headers: Record<string, string>): Case {
  return {
    name,
    async begin (peer) {
      const exchange = peer.client.ask('/echo', { method: 'POST', body: null, headers: { ...headers, 'content-type': 'application/octet-stream' } })
      exchange.write(half)
      return async t => {
        exchange.finish(half)
        const answer = await exchange.answer()
        isOld(t, answer, peer)
        t.equal(JSON.parse(answer.body).length, 1_000_000)
      }
    }
  }
}

const cases: Case[] = [{
  name: 'a request that is being handled',
  async begin (peer) {
    const exchange = peer.client.ask('/held/handled')
    await peer.old.tells('held', { id: 'handled' })
    return async t => {
      peer.old.order('release', { id: 'handled' })
      isOld(t, await exchange.answer(), peer)
    }
  }
}, {
  name: 'a half-received head',
  async begin (peer) {
    const exchange = peer.client.prepare('/')
    peer.wire.write(exchange.bytes.subarray(0, 12))
    return async t => {
      peer.wire.write(exchange.bytes.subarray(12))
      isOld(t, await exchange.answer(), peer)
    }
  }
}, halfReceived('a half-received body', { 'content-length': '1000000' }), halfReceived('a half-received chunked body', {}), {
  name: 'pipelined requests',
  async begin (peer) {
    const exchanges = ['/held/pipelined', '/', '/big/10', '/'].map(path => peer.client.prepare(path))
    peer.wire.write(Buffer.concat(exchanges.map(({ bytes }) => bytes)))
    await peer.old.tells('held', { id: 'pipelined' })
    return async t => {
      peer.old.order('release', { id: 'pipelined' })
      const [first, second, big, last] = await Promise.all(exchanges.map(exchange => exchange.answer()))
      for (const answer of [first!, second!, last!]) isOld(t, answer, peer)
      t.match(big, { status: 200, body: 'x'.repeat(10) })
    }
  }
}, {
  name: 'a slow reader with a big answer',
  async begin (peer) {
    const exchange = peer.client.ask('/big/16000000')
    await exchange.headed()
    peer.wire.socket.pause()
    return async t => {
      peer.wire.socket.resume()
      const { status, headers, body } = await exchange.answer()
      t.match({ status, headers, length: body.length }, { status: 200, headers: { connection: 'keep-alive' }, length: 16_000_000 })
    }
  }
}, {
  name: 'an answer that came before the body of its request',
  async begin (peer) {
    const exchange = peer.client.ask('/early', { method: 'POST', body: null, headers: { 'content-length': '1000000', 'content-type': 'application/octet-stream' } })
    const answer = await exchange.answer()
    return async t => {
      isOld(t, answer, peer)
      exchange.write(half)
      exchange.finish(half)
    }
  }
}, {
  name: 'a 413 while the body is coming',
  async begin (peer) {
    const exchange = peer.client.ask('/small', { method: 'POST', body: null, headers: { 'content-type': 'application/octet-stream' } })
    exchange.write('more than ten bytes')
    await exchange.headed()
    return async t => {
      for (let i = 0; i < 10; i++) exchange.write('x'.repeat(100_000))
      t.match(await exchange.answer(), { status: 413, headers: { connection: 'close' } })
    }
  },
  ends: true
}, {
  name: 'HEAD',
  async begin (peer) {
    const exchange = peer.client.ask('/held/head', { method: 'HEAD' })
    await peer.old.tells('held', { id: 'head' })
    return async t => {
      peer.old.order('release', { id: 'head' })
      const { status, headers, body } = await exchange.answer()
      t.match({ status, headers, body }, { status: 200, headers: { connection: 'keep-alive' }, body: '' })
    }
  }
}, {
  name: 'a chunked answer of which a part is out',
  async begin (peer) {
    const exchange = peer.client.ask('/streamed/chunked')
    await peer.wire.until(() => exchange.body !== '', 'the first part')
    return async t => {
      peer.old.order('release', { id: 'chunked' })
      const { headers, body } = await exchange.answer()
      t.match({ headers, body }, { headers: { 'transfer-encoding': 'chunked' }, body: `${peer.old.pid} done` })
    }
  }
}, {
  name: 'Expect: 100-continue with the body still to come',
  async begin (peer) {
    const exchange = peer.client.ask('/echo', { method: 'POST', body: null, headers: { expect: '100-continue', 'content-length': '4', 'content-type': 'application/octet-stream' } })
    await peer.wire.until(() => exchange.statuses.includes(100), '100 Continue')
    return async t => {
      exchange.finish('body')
      isOld(t, await exchange.answer(), peer)
      t.same(exchange.statuses, [100, 200])
    }
  }
}, {
  name: 'HTTP/1.0 with keep-alive',
  async begin (peer) {
    const { bytes } = peer.client.prepare('/held/old')
    peer.wire.write(bytes.toString().replace('HTTP/1.1', 'HTTP/1.0').replace('\r\n\r\n', '\r\nconnection: keep-alive\r\n\r\n'))
    await peer.old.tells('held', { id: 'old' })
    return async t => {
      peer.old.order('release', { id: 'old' })
      await peer.wire.until(() => peer.wire.received.endsWith('}'), 'the answer')
      t.match(peer.wire.received, /Connection: keep-alive/)
      t.match(peer.wire.received, `"pid":${peer.old.pid},`)
    }
  }
}, {
  name: 'a client that half-closes behind its request',
  async begin (peer) {
    const exchange = peer.client.ask('/held/half-closed')
    await peer.old.tells('held', { id: 'half-closed' })
    peer.wire.raw.halfClose()
    return async t => {
      peer.old.order('release', { id: 'half-closed' })
      const { status, body } = await exchange.answer()
      t.match({ status, pid: pidOf({ body }) }, { status: 200, pid: peer.old.pid })
    }
  },
  ends: true
}, {
  name: 'a client that half-closes when the successor has taken over',
  async begin (peer) {
    const exchange = peer.client.ask('/held/late')
    await peer.old.tells('held', { id: 'late' })
    return async t => {
      peer.wire.raw.halfClose()
      peer.old.order('release', { id: 'late' })
      const { status, body } = await exchange.answer()
      t.match({ status, pid: pidOf({ body }) }, { status: 200, pid: peer.old.pid })
    }
  },
  ends: true
}]

t.test('what is under way is finished by the old process', async t => {
  // Whoever has got a 413 may be slow to send the rest.
  const service = await startService(t, { apps: [{ listen: { host: '127.0.0.1', port: 0 }, options: { lingerTimeout: 60_000, lingerTime: 60_000 } }] })
  const to = service.address()
  const old = await service.generation(0)
  const peers: Peer[] = []
  const finishes: Array<(t: Test) => Promise<void>> = []
  for (const { begin } of cases) {
    const wire = await plainWire(t, to)
    peers.push({ wire, client: http1Client(wire), old })
    finishes.push(await begin(peers.at(-1)!))
  }
  const [, successor] = await service.handOver()
  t.notOk(old.hasEnded)

  for (const [i, { name, ends = false }] of cases.entries()) {
    await t.test(`${name}: ${ends ? 'then the end' : 'then the successor'}`, async t => {
      const peer = peers[i]!
      await finishes[i]!(t)
      if (ends) {
        await peer.wire.raw.fin()
        peer.wire.raw.halfClose()
        await peer.wire.raw.closed()
      } else {
        await answeredBy(t, peer.wire, successor)
      }
      t.equal(peer.wire.raw.error, null)
    })
  }

  t.equal(await old.ended, 0)
  const { report } = await old.tells('report')
  const ended = cases.filter(({ ends }) => ends).length
  const { total, cut, 'handed-over': handedOver, 'timed-out': timedOut, destroyed } = report.connections
  t.same({ total, cut, timedOut, destroyed }, { total: cases.length, cut: 0, timedOut: 0, destroyed: 0 })
  // A connection whose client has half-closed may move before that is read, and ends there.
  t.ok(handedOver >= cases.length - ended && handedOver <= cases.length)
  await holds(successor.pid, to.port, cases.length - ended)
  successor.kill('SIGTERM')
  await Promise.all(peers.filter((_peer, i) => cases[i]!.ends !== true).map(async ({ wire }) => { await wire.raw.fin(); wire.raw.halfClose(); await once(wire.socket, 'close') }))
  t.equal(await successor.ended, 0)
})

/** Asks on this connection until it has moved; each answer keeps it alive. */
async function answeredBy (t: Test, wire: Wire, { pid }: Generation): Promise<void> {
  const client = http1Client(wire)
  const { localPort } = wire.raw.socket
  const end = performance.now() + 20_000
  let found = null
  while (found !== pid && performance.now() < end) {
    const { status, headers: { connection }, body } = await client.ask('/').answer()
    found = JSON.parse(body).pid
    if (status !== 200 || connection !== 'keep-alive' || JSON.parse(body).port !== localPort) t.fail(`a bad answer: ${status} ${connection} ${body}`)
  }
  t.equal(found, pid, 'the successor')
}
