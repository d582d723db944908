import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { FastifyDrainOptions } from '../index.ts'
import type { AppDescription } from './fixtures/netns-server.ts'
import { capture, missingForCapture, type Packet } from './helpers/capture.ts'
import { startPeer, startService, type Service } from './helpers/netns-process.ts'
import { missingForNamespaces, network } from './helpers/netns.ts'
import { socketOptions } from './helpers/socket-options.ts'
import { socketStates } from './helpers/socket-states.ts'
import { withoutKoffi } from './helpers/without-koffi.ts'

const skip = missingForNamespaces() || missingForCapture()
if (skip !== false && process.env.CI === 'true') t.fail(skip)

const keepAlive = { idle: 2000, interval: 1000, count: 3 }
const asSet = { SO_KEEPALIVE: 1, TCP_KEEPIDLE: 2, TCP_KEEPINTVL: 1, TCP_KEEPCNT: 3, TCP_USER_TIMEOUT: 0 }
const protocols = ['http', 'https', 'http2'] as const
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
// Since then setKeepAlive() takes interval and count; before, it resets them.
const nodeSetsAll = major >= 26 || (major === 24 && minor >= 21)

// One network and one waiting time for all: every peer vanishes at the same moment.
t.test('the link of the clients goes down', { skip, timeout: 60_000 }, async t => {
  const { server, client, clientDown } = network(t)
  // An address of its own, for a peer that will have no neighbour entry.
  const nowhere = '10.80.0.77'
  client.run('ip', 'addr', 'add', `${nowhere}/24`, 'dev', client.device)
  server.setSysctl('net.ipv4.neigh.eth0.retrans_time_ms', 100)

  const app = (protocol: AppDescription['protocol'], options: FastifyDrainOptions = {}, host = server.v4): AppDescription =>
    ({ protocol, host, options: { keepAlive, hardStopAfter: 20_000, ...options } })
  const patient = Object.fromEntries(protocols.map(protocol => [protocol, app(protocol)]))
  const soon = { idleGrace: 300, lingerTimeout: 1000, lingerTime: 2000 }

  const [tuned, bare, impatient, leaving, peer] = await Promise.all([
    startService(t, server, { ...patient, ...server.v6 === null ? {} : { 'http over IPv6': app('http', {}, server.v6) } }),
    startService(t, server, patient, withoutKoffi),
    startService(t, server, {
      idle: app('http', { keepAlive: { ...keepAlive, userTimeout: 2500 } }),
      answering: app('http', { keepAlive: { ...keepAlive, userTimeout: 3000 } }),
      nowhere: app('http', { keepAlive: { ...keepAlive, userTimeout: 3000 } })
    }),
    startService(t, server, {
      http: app('http', soon),
      https: app('https', soon),
      http2: app('http2', { ...soon, hardStopAfter: 3000, hardStop: 'reset' }),
      'http2 with userTimeout': app('http2', { ...soon, keepAlive: { ...keepAlive, userTimeout: 2000 } })
    }),
    startPeer(t, client)
  ])
  const requests: Array<{ service: Service, name: string, id: string, path: string }> = []
  const connect = async (service: Service, name: string, path: string, localAddress?: string): Promise<number> => {
    const { protocol, host, port } = service.apps[name] as Service['apps'][string]
    const id = `${port}${path}`
    requests.push({ service, name, id, path })
    return peer.open(id, { protocol, host, port, ...localAddress === undefined ? {} : { localAddress } })
  }

  const ports = [tuned, bare, impatient, leaving].flatMap(({ apps }) => Object.values(apps).map(({ port }) => port))
  const seen = await capture(t, { host: server, filter: 'tcp' })
  for (const service of [tuned, bare]) {
    for (const name of Object.keys(service.apps)) await connect(service, name, '/')
  }
  await connect(impatient, 'idle', '/')
  await connect(impatient, 'answering', '/late')
  await connect(impatient, 'nowhere', '/late', nowhere)
  const remotePort: Record<string, number> = {}
  for (const name of Object.keys(leaving.apps)) remotePort[`${name} endless`] = await connect(leaving, name, '/endless')
  for (const name of ['http', 'https']) remotePort[`${name} idle`] = await connect(leaving, name, '/')
  const options = { tuned: socketOptions(tuned.pid), bare: socketOptions(bare.pid), impatient: socketOptions(impatient.pid) }

  // All at once, and right before the end: a probe that was still answered would begin a new silence.
  await Promise.all(requests.map(async ({ service, name, id, path }) => {
    peer.ask(id, path)
    if (path === '/') await peer.received(id, /hello$/)
    else await service.requested(name, path)
  }))
  // With data on its way there would be no probe at all.
  await eventually(async () => (await socketStates(ports, 'server', server)).every(({ sendQueue }) => sendQueue === 0))
  clientDown()
  server.run('ip', 'neigh', 'del', nowhere, 'dev', server.device)
  impatient.answer()
  leaving.drain()

  const closed = async (service: Service): Promise<Record<string, number>> =>
    Object.fromEntries(await Promise.all(Object.keys(service.apps).map(async name =>
      [name, await Promise.race([service.closed(name), sleep(12_000, NaN, { ref: false })])])))
  const [tunedClosed, bareClosed, impatientClosed, reports] = await Promise.all([
    closed(tuned),
    nodeSetsAll ? closed(bare) : {},
    closed(impatient),
    Promise.all(Object.keys(leaving.apps).map(async name => [name, await leaving.drained(name)] as const)).then(Object.fromEntries)
  ])
  const packets = await seen.stop()

  const reapedByProbes = (t: Test, service: Service, closed: Record<string, number>): void => {
    for (const [name, closedAt] of Object.entries(closed)) {
      const { lastByte, probes, resets } = silence(packets, service.apps[name] as Service['apps'][string])
      const gaps = probes.map(({ time }, i) => time - (probes[i - 1]?.time ?? lastByte))
      t.ok(closedAt - lastByte >= 5000 && closedAt - lastByte <= 6500, `${name}: reaped in time`, { ms: closedAt - lastByte })
      t.equal(probes.length, 3, `${name}: as many probes as there shall be`)
      t.ok(within(gaps[0], 1980, 2400), `${name}: the first one after idle`, { gaps })
      t.ok(within(gaps[1], 980, 1300) && within(gaps[2], 980, 1300), `${name}: the others after interval`, { gaps })
      t.equal(resets.length, 1, `${name}: then one RST, in case the peer lives on`)
    }
  }

  await t.test('row 7: http, https, h2c: the options of the listener are those of the sockets that it accepts', async t => {
    for (const [name, { port }] of Object.entries(tuned.apps)) {
      const found = options.tuned.filter(({ localPort }) => localPort === port)
      t.match(found, [{ listening: true, ...asSet }, { listening: false, ...asSet }], name)
    }
    const { port } = impatient.apps.idle as { port: number }
    t.match(options.impatient.filter(({ localPort }) => localPort === port),
      [{ listening: true, TCP_USER_TIMEOUT: 2500 }, { listening: false, ...asSet, TCP_USER_TIMEOUT: 2500 }])
  })

  await t.test('row 7: http, https, h2c: an idle peer that has vanished is reaped after count probes', async t => {
    reapedByProbes(t, tuned, tunedClosed)
    const { uncaught, lostPeers, logs } = await tuned.sumUp()
    t.same(uncaught, [])
    t.same(lostPeers, Object.fromEntries(Object.keys(tuned.apps).map(name => [name, 1])))
    for (const name of protocols) t.ok(logs[name]?.some(({ msg }) => /vanished \(ETIMEDOUT\)/.test(msg)), `${name}: the log says so`, { logs })
  })

  await t.test('row 7: http, https, h2c: without koffi as well, as far as Node can', async t => {
    for (const [name, { port }] of Object.entries(bare.apps)) {
      const found = options.bare.filter(({ localPort }) => localPort === port)
      t.match(found, [
        { listening: true, SO_KEEPALIVE: 0 },
        { listening: false, ...nodeSetsAll ? asSet : { SO_KEEPALIVE: 1, TCP_KEEPIDLE: 2 } }
      ], name)
    }
    t.equal(Object.keys(bareClosed).length, nodeSetsAll ? protocols.length : 0)
    reapedByProbes(t, bare, bareClosed)
    const { uncaught, lostPeers, logs } = await bare.sumUp()
    t.same(uncaught, [])
    t.same(lostPeers, Object.fromEntries(protocols.map(name => [name, nodeSetsAll ? 1 : 0])))
    for (const name of protocols) {
      const warnings = logs[name]?.filter(({ level }) => level >= 40)
      t.match(warnings, [{ msg: nodeSetsAll ? /npm install koffi/ : /npm install koffi.*TCP_KEEPINTVL, TCP_KEEPCNT/ }], `${name}: one warning`)
    }
  })

  await t.test('row 7: http: userTimeout decides when it is over, with an answer on its way as well', async t => {
    const since = (name: string, from: 'lastByte' | 'firstAfter'): number => {
      const { [from]: began } = silence(packets, impatient.apps[name] as Service['apps'][string])
      return (impatientClosed[name] as number) - began
    }
    t.ok(within(since('idle', 'lastByte'), 2900, 4500), 'with the second probe, when 2500 ms are over', { ms: since('idle', 'lastByte') })
    t.ok(within(since('answering', 'firstAfter'), 2900, 4500), 'while the answer is sent again and again', { ms: since('answering', 'firstAfter') })
    const { uncaught, lostPeers, logs } = await impatient.sumUp()
    for (const name of ['idle', 'answering']) t.ok(logs[name]?.some(({ msg }) => /vanished \(ETIMEDOUT\)/.test(msg)), name, { logs })
    t.same(uncaught, [])
    t.same(lostPeers, { idle: 1, answering: 1, nowhere: 1 })
  })

  await t.test('row 7: http: a peer that no router and no neighbour knows any more is lost with EHOSTUNREACH', async t => {
    const { logs } = await impatient.sumUp()
    t.ok(logs.nowhere?.some(({ msg }) => /vanished \(EHOSTUNREACH\)/.test(msg)), 'nowhere', { logs })
  })

  await t.test('row 7: http, https, h2c: a drain that begins now does not wait for its deadline', async t => {
    const remoteAddress = client.v4
    for (const name of ['http', 'https']) {
      const { duration, phases, connections, stragglers } = reports[name]
      t.ok(duration <= 6500, `${name}: over when the last peer is known to be lost`, { duration })
      t.notOk(phases.some(({ phase }: { phase: string }) => phase === 'aborting'), `${name}: nothing is cut`)
      t.match(connections, { total: 2, 'timed-out': 1, 'peer-lost': 1, cut: 0 }, name)
      t.match(stragglers, [
        { outcome: 'timed-out', error: null, state: 'lingering', method: null, remoteAddress, remotePort: remotePort[`${name} idle`] },
        { outcome: 'peer-lost', error: 'ETIMEDOUT', state: 'active', method: 'GET', route: '/endless', remoteAddress, remotePort: remotePort[`${name} endless`] }
      ], name)
    }
    // Our FIN does not count, close_notify does.
    t.equal(reports.http.stragglers[0].unacknowledgedBytes, 0)
    t.equal(reports.https.stragglers[0].unacknowledgedBytes, 24)

    // The notice, PING and two GOAWAY are on their way, so there are no probes: they would be sent again for 15 minutes.
    t.ok(within(reports.http2.duration, 2900, 4000), 'http2: over at the deadline', { duration: reports.http2.duration })
    t.match(reports.http2, {
      connections: { total: 1, cut: 1 },
      stragglers: [{ outcome: 'cut', error: null, state: 'active', remoteAddress, remotePort: remotePort['http2 endless'], unacknowledgedBytes: 4 * 17 }]
    })
    const inTime = reports['http2 with userTimeout']
    t.ok(within(inTime.duration, 2200, 4500), 'http2: over after userTimeout', { duration: inTime.duration })
    t.match(inTime, {
      connections: { total: 1, 'peer-lost': 1 },
      stragglers: [{ outcome: 'peer-lost', error: 'ETIMEDOUT', state: 'active', remoteAddress, remotePort: remotePort['http2 with userTimeout endless'] }]
    })
    t.same((await leaving.sumUp()).uncaught, [])
  })
})

async function eventually (probe: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await probe()) return
    await sleep(10)
  }
  throw new Error('what was sent is never acknowledged')
}

/** What happens on the one connection of an app when its peer has vanished. */
function silence (packets: Packet[], { host, port }: { host: string, port: number }) {
  const local = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const answered = packets.findLast(({ to }) => to === local)?.time ?? NaN
  const lastByte = packets.findLast(({ from, to, length, time }) => (from === local || to === local) && length > 0 && time <= answered)?.time ?? NaN
  const sent = packets.filter(({ from }) => from === local)
  const after = sent.filter(({ time }) => time > answered)
  return {
    lastByte,
    firstAfter: after.find(({ length }) => length > 0)?.time ?? NaN,
    // What acknowledges something new is a delayed ACK.
    probes: after.filter(packet => packet.flags === '.' && packet.length === 0 && sent.find(({ ack }) => ack === packet.ack) !== packet),
    resets: after.filter(({ flags }) => flags.includes('R'))
  }
}

function within (value: number | undefined, min: number, max: number): boolean {
  return value !== undefined && value >= min && value <= max
}
