import t from 'tap'
import Fastify from 'fastify'
import dns from 'node:dns'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { watchListen } from '../../../lib/listen/watch-listen.ts'

async function listen (t: { teardown (fn: () => unknown): void }, server: Server, options: object): Promise<void> {
  server.listen(options)
  t.teardown(() => server.close())
  await once(server, 'listening')
}

function watch (main: Server): Server[] {
  const seen: Server[] = []
  watchListen(main, server => { seen.push(server) })
  return seen
}

const skip = Object.values(networkInterfaces()).flat().some(face => face?.address === '::1') ? false : 'there is no ::1 here'

/** Makes `localhost` both of its addresses, whatever the hosts file says. */
function bothAddresses (t: { teardown (fn: () => unknown): void }): void {
  const { lookup } = dns
  t.teardown(() => { dns.lookup = lookup })
  dns.lookup = ((host: string, options: dns.LookupOptions, callback: (...results: any[]) => void) => {
    if (host !== 'localhost' || options.all !== true) return lookup(host, options, callback)
    process.nextTick(callback, null, [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }])
  }) as typeof dns.lookup
}

t.test('a server is announced when it begins to listen, before it can accept anything', async t => {
  const server = createServer()
  let listening: boolean | null = null
  watchListen(server, ({ listening: already }) => { listening = already })
  await listen(t, server, { host: '127.0.0.1', port: 0 })
  t.equal(listening, false)
})

t.test('a server that listens on a Unix socket is announced', { skip: process.platform === 'win32' }, async t => {
  const server = createServer()
  const seen = watch(server)
  // The path of a socket must be short.
  const folder = mkdtempSync(join(tmpdir(), 'fastify-drain-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  await listen(t, server, { path: join(folder, 'socket') })
  t.equal(seen.length, 1)
})

t.test('servers of others are not announced', async t => {
  const seen = watch(createServer())
  await listen(t, createServer(), { host: '127.0.0.1', port: 0 })
  t.same(seen, [])
})

t.test('row 33: the second server that Fastify makes for localhost is announced', { skip }, async t => {
  bothAddresses(t)
  const app = Fastify()
  t.teardown(() => app.close())
  const seen = watch(app.server)
  await app.listen({ host: 'localhost', port: 0 })
  const addresses = app.addresses() as AddressInfo[]
  t.equal(addresses.length, 2)
  t.equal(seen[0], app.server)
  t.equal(new Set(seen).size, seen.length)
  t.same(seen.map(server => (server.address() as AddressInfo).address).sort(), addresses.map(({ address }) => address).sort())
})

t.test('row 33: of two apps on the same host each hears of its own servers', { skip }, async t => {
  bothAddresses(t)
  const apps = [Fastify(), Fastify()]
  for (const app of apps) t.teardown(() => app.close())
  const seen = apps.map(app => watch(app.server))
  await Promise.all(apps.map(app => app.listen({ host: 'localhost', port: 0 })))
  for (const [i, app] of apps.entries()) {
    t.equal(seen[i]?.length, 2)
    t.same(seen[i]?.map(server => (server.address() as AddressInfo).port).sort(), (app.addresses() as AddressInfo[]).map(({ port }) => port).sort())
  }
})
