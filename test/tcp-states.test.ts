import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { FastifyDrainOptions } from '../index.ts'
import { startPeer, startService } from './helpers/netns-process.ts'
import { missingForNamespaces, network } from './helpers/netns.ts'
import { socketStates } from './helpers/socket-states.ts'

const skip = missingForNamespaces()
if (skip !== false && process.env.CI === 'true') t.fail(skip)

// What ss does not show any more.
const gone = 'gone'

// Each test drains an app of its own.
const apps: Record<string, FastifyDrainOptions> = {
  'server first': { idleGrace: 0 },
  'client first': {},
  'client first, after the last answer': {},
  'both at once': { idleGrace: 0 },
  reset: { hardStopAfter: 500, hardStop: 'reset' },
  destroy: { hardStopAfter: 500, hardStop: 'destroy' }
}

t.test('states of a close', { skip, timeout: 60_000 }, async t => {
  const { server, client, cut, mend } = network(t)
  const patience = { hardStopAfter: 30_000, peerCloseTimeout: 10_000, lingerTimeout: 10_000, lingerTime: 20_000 }
  const [service, peer] = await Promise.all([
    startService(t, server, Object.fromEntries(Object.entries(apps).map(([name, options]) =>
      [name, { protocol: 'http', host: server.v4, options: { ...patience, ...options } }]))),
    startPeer(t, client)
  ])

  /** Opens a connection to the app of this name, sends a request, and looks at both ends from then on. */
  async function watch (name: string, path: string) {
    const { port = 0 } = service.apps[name] ?? {}
    const local = await peer.open(name, { protocol: 'http', host: server.v4, port })
    peer.ask(name, path)
    if (path === '/') await peer.received(name, /hello$/)
    else await service.requested(name, path)
    const seen = { server: [] as string[], client: [] as string[] }
    return {
      seen,
      /** Waits, for at most 10 s, until both ends are in these states; each is held until something is done about it. */
      async until (expected: { server: string, client: string }): Promise<void> {
        const end = performance.now() + 10_000
        while (true) {
          for (const [side, host] of [['server', server], ['client', client]] as const) {
            const { state = gone } = (await socketStates([port], side, host)).find(({ clientPort }) => clientPort === local) ?? {}
            if (seen[side].at(-1) !== state) seen[side].push(state)
          }
          if (seen.server.at(-1) === expected.server && seen.client.at(-1) === expected.client) return
          if (performance.now() > end) throw new Error(`this did not come: ${JSON.stringify(expected)}; seen: ${JSON.stringify(seen)}`)
          await sleep(5)
        }
      }
    }
  }

  await t.test('the server closes first: FIN_WAIT1, FIN_WAIT2, and it keeps TIME_WAIT; CLOSE_WAIT and LAST_ACK on the other side', async t => {
    const name = 'server first'
    const { until, seen } = await watch(name, '/')
    await until({ server: 'ESTAB', client: 'ESTAB' })
    cut()
    service.drain(name)
    await until({ server: 'FIN-WAIT-1', client: 'ESTAB' })
    mend()
    await until({ server: 'FIN-WAIT-2', client: 'CLOSE-WAIT' })
    cut()
    peer.end(name)
    await until({ server: 'FIN-WAIT-2', client: 'LAST-ACK' })
    mend()
    await until({ server: 'TIME-WAIT', client: gone })
    t.same(seen, {
      server: ['ESTAB', 'FIN-WAIT-1', 'FIN-WAIT-2', 'TIME-WAIT'],
      client: ['ESTAB', 'CLOSE-WAIT', 'LAST-ACK', gone]
    })
    t.match(await service.drained(name), { connections: { total: 1, 'half-closed': 1 }, stragglers: [] })
  })

  await t.test('the client closes first, with an answer pending: the other way round, and TIME_WAIT stays with the client', async t => {
    const name = 'client first'
    const { until, seen } = await watch(name, '/late')
    await until({ server: 'ESTAB', client: 'ESTAB' })
    service.drain(name)
    cut()
    peer.end(name)
    await until({ server: 'ESTAB', client: 'FIN-WAIT-1' })
    mend()
    await until({ server: 'CLOSE-WAIT', client: 'FIN-WAIT-2' })
    cut()
    service.answer()
    await until({ server: 'LAST-ACK', client: 'FIN-WAIT-2' })
    mend()
    await until({ server: gone, client: 'TIME-WAIT' })
    t.same(seen, {
      server: ['ESTAB', 'CLOSE-WAIT', 'LAST-ACK', gone],
      client: ['ESTAB', 'FIN-WAIT-1', 'FIN-WAIT-2', 'TIME-WAIT']
    })
    t.match(await peer.received(name, /late$/), /\r\nconnection: close\r\n/i)
    t.match(await service.drained(name), { connections: { total: 1, 'peer-closed': 1 }, requests: { served: 1 }, stragglers: [] })
  })

  await t.test('a client that has read the last answer closes first, and keeps TIME_WAIT', async t => {
    const name = 'client first, after the last answer'
    const { until } = await watch(name, '/late')
    service.drain(name)
    service.answer()
    await peer.received(name, /late$/)
    peer.destroy(name)
    await until({ server: gone, client: 'TIME-WAIT' })
    t.match(await service.drained(name), { connections: { total: 1, 'peer-closed': 1 } })
  })

  await t.test('when both close at once, both keep TIME_WAIT', async t => {
    const name = 'both at once'
    const { until } = await watch(name, '/')
    cut()
    service.drain(name)
    await until({ server: 'FIN-WAIT-1', client: 'ESTAB' })
    peer.end(name)
    await until({ server: 'FIN-WAIT-1', client: 'FIN-WAIT-1' })
    mend()
    await until({ server: 'TIME-WAIT', client: 'TIME-WAIT' })
    t.match(await service.drained(name), { connections: { total: 1, 'half-closed': 1 } })
  })

  await t.test("hardStop 'reset' leaves TIME_WAIT on neither side", async t => {
    const { until, seen } = await watch('reset', '/endless')
    await until({ server: 'ESTAB', client: 'ESTAB' })
    service.drain('reset')
    await until({ server: gone, client: gone })
    t.same(seen, { server: ['ESTAB', gone], client: ['ESTAB', gone] })
    t.equal(await peer.failed('reset'), 'ECONNRESET')
    t.match(await service.drained('reset'), { connections: { total: 1, cut: 1 } })
  })

  await t.test("hardStop 'destroy' leaves it with the server", async t => {
    const { until } = await watch('destroy', '/endless')
    service.drain('destroy')
    await until({ server: 'FIN-WAIT-2', client: 'CLOSE-WAIT' })
    peer.destroy('destroy')
    await until({ server: 'TIME-WAIT', client: gone })
    t.match(await service.drained('destroy'), { connections: { total: 1, cut: 1 } })
  })

  t.same((await service.sumUp()).uncaught, [])
})
