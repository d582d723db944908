import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import type { NetConnectOpts } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { hasIPv6 } from './helpers/drain-localhost.ts'
import { socketsOf, startService } from './helpers/handover.ts'
import { answers, rawClient, request, type RawClient } from './helpers/raw-client.ts'
import { lacks, socketActivate, unusedPort } from './helpers/systemd.ts'

const host = '127.0.0.1'
const skipIPv6 = hasIPv6() ? false : '::1 is not there'
const skipSystemd = lacks(socketActivate)
if (skipSystemd !== false && process.env.CI === 'true') t.fail(skipSystemd)

/** Asks on a connection that stays. */
async function ask (client: RawClient): Promise<{ pid: number, app: number, connection: string | undefined }> {
  const before = client.received.length
  client.write(request('/'))
  await client.until(received => received.length > before && received.endsWith('}'))
  const { headers, body } = answers(client.received.slice(before))[0]!
  return { ...JSON.parse(body), connection: headers['connection'] }
}

t.test('every kind of listener goes from one process to the next, each to the app that asks for it', { skip: skipIPv6 }, async t => {
  const path = join(tempFolder(t), 'socket')
  const port = await unusedPort(host, '::1')
  const service = await startService(t, {
    apps: [
      { listen: { host: 'localhost', port } },
      { listen: { path } },
      { listen: { host: '::1', port: 0 } },
      { listen: { host: '0.0.0.0', port: 0 } },
      { listen: { host: '127.0.0.2', port: 0 }, options: { reusePort: true } },
      { listen: { host, port: 0 }, copy: 'cjs' },
      { listen: { host: '::', port: 0 } },
      { listen: { host: 'localhost', port: 0 } }
    ]
  })
  const of = (app: number, host: string): NetConnectOpts => ({ host, port: service.address(app).port })
  const where: Array<[app: number, to: NetConnectOpts]> = [
    [0, { host, port }], [0, { host: '::1', port }], [1, { path }], [2, of(2, '::1')], [3, of(3, host)], [4, of(4, '127.0.0.2')], [5, of(5, host)],
    [6, of(6, host)], [6, of(6, '::1')], [7, of(7, host)], [7, of(7, '::1')]
  ]
  const clients = await Promise.all(where.map(([, to]) => rawClient(t, to)))
  const [first] = service.generations
  for (const [i, client] of clients.entries()) t.match(await ask(client), { pid: first!.pid, app: where[i]![0] })
  const { ino } = statSync(path)

  for (let i = 0; i < 2; i++) {
    const [old, { pid }] = await service.handOver()
    t.equal(await old.ended, 0)
    t.equal(statSync(path).ino, ino, 'the file of the Unix socket is the same')
    for (const [i, client] of clients.entries()) {
      t.match(await ask(client), { pid, app: where[i]![0], connection: 'keep-alive' }, `still: ${JSON.stringify(where[i])}`)
      t.match(await ask(await rawClient(t, where[i]![1])), { pid, app: where[i]![0] }, `new: ${JSON.stringify(where[i])}`)
    }
  }
  const addresses = service.generations.map(({ told }) => told.find(({ type }) => type === 'listening').addresses)
  t.same(addresses[1], addresses[0])
  t.same(addresses[2], addresses[0])
  t.same(service.log.filter(({ level }) => level >= 40), [])

  const last = service.generations.at(-1)!
  for (const client of clients) client.socket.destroy()
  last.kill('SIGTERM')
  t.equal(await last.ended, 0)
  t.notOk(existsSync(path), 'the last one takes the file away')
})

t.test('a new version can listen elsewhere: what it does not ask for is closed, what is new is opened', async t => {
  const [kept, dropped, added] = [await unusedPort(), await unusedPort(), await unusedPort()]
  const options = { idleGrace: 50, peerCloseTimeout: 50 }
  const service = await startService(t, { apps: [{ listen: { host, port: kept }, options }, { listen: { host, port: dropped }, options }] })
  const [stays, leaves] = [await rawClient(t, { host, port: kept }), await rawClient(t, { host, port: dropped })]
  for (const client of [stays, leaves]) await ask(client)
  service.change({ apps: [{ listen: { host, port: added }, options }, { listen: { host, port: kept }, options }] })
  const [old, successor] = await service.handOver()
  t.match(await ask(stays), { pid: successor.pid, app: 1, connection: 'keep-alive' })
  t.match(await ask(await rawClient(t, { host, port: added })), { pid: successor.pid, app: 0 })
  await leaves.fin()
  leaves.halfClose()
  t.equal(await leaves.closed(), null)
  t.equal(await old.ended, 0)
  await t.rejects(rawClient(t, { host, port: dropped }), { code: 'ECONNREFUSED' })
  t.match((await old.tells('report', { app: 0 })).report.connections, { total: 1, 'handed-over': 1 })
  t.match((await old.tells('report', { app: 1 })).report.connections, { total: 1, 'half-closed': 1 })
})

t.test('a listener of systemd stays the one of its name in a handover', { skip: skipSystemd }, async t => {
  const port = await unusedPort()
  const service = await startService(t, { apps: [{ options: { listenFdName: 'web' }, listen: { host: '0.0.0.0', port: 1 } }] }, {
    under: ['systemd-socket-activate', '-l', `${host}:${port}`, '--fdname=web', '-E', 'CONTROL', '-E', 'PLAN'],
    wake: () => rawClient(t, { host, port })
  })
  const client = await rawClient(t, { host, port })
  const [first] = service.generations
  t.equal((await ask(client)).pid, first!.pid)
  const listener = socketsOf(first!.pid).filter(link => listens(link, port))
  for (let i = 0; i < 2; i++) {
    const [old, successor] = await service.handOver()
    t.equal((await ask(client)).pid, successor.pid)
    t.equal(await old.ended, 0)
    const { env } = await successor.tells('started')
    t.same([env.LISTEN_FDS, env.LISTEN_PID, env.LISTEN_FDNAMES], [undefined, undefined, undefined])
    t.same(socketsOf(successor.pid).filter(link => listens(link, port)), listener, 'the same socket, and one descriptor of it')
  }
  t.equal(listener.length, 1)
})

function listens (link: string, port: number): boolean {
  return execFileSync('ss', ['-ltneH', `sport = :${port}`], { encoding: 'utf8' }).includes(` ino:${/\d+/.exec(link)?.[0]} `)
}

function tempFolder (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'handover-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}
