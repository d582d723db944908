import { setTimeout as sleep } from 'node:timers/promises'
import { Agent } from 'undici'
import { deferred, eventually } from '../../helpers/app.ts'
import { tlsOptions } from '../../helpers/tls.ts'
import { users, type Ask, type Pace, type Running, type Tally } from '../client.ts'
import { isSecure, startService, type Stopped, type Teardown } from '../restart.ts'
import type { Front, Protocol } from './configs.ts'
import { freePort, startProxy, type ProxyLog } from './proxy.ts'
import type { Variant } from './variants.ts'

/** The clients of one variant that speak one protocol to the proxy. */
export interface Row extends Tally {
  title: string
  lost: number
  /** Requests that the proxy has sent to a server more than once; `null`: it does not say. */
  retried: number | null
  /** Requests that are in the log of the proxy. */
  logged: number | null
  /** Requests that came to a server more than once. */
  receivedTwice: number
  /** Requests that a server has executed, and whose answer the client did not get. */
  executedButLost: number
}

// A body that neither the proxy nor the server reads at once. Over TLS Node's HTTP/1.1 server answers about one in 10,000 of
// those with 400 (HPE_PAUSED), restart or not, with or without this plugin, so they are smaller than what makes it pause.
const padding = { large: ' '.repeat(100_000), small: ' '.repeat(10_000) }

const protocols: Protocol[] = ['HTTP/1.1', 'HTTP/2']

/**
 * Restarts the two servers behind every proxy in turn, `restarts` times altogether, while clients go on asking, all variants
 * at the same time. `settle`: how long they go on before and after each restart, in ms.
 */
export async function restartBehindProxies (
  t: Teardown, variants: Variant[], { restarts, settle, ...pace }: Pace & { restarts: number, settle: number }
): Promise<{ rows: Row[], stops: Stopped[] }> {
  const services = new Map(await Promise.all([...new Set(variants.map(({ upstream }) => upstream))].map(async kind =>
    [kind, await Promise.all([0, 1].map(i => startService(t, { kind, versions: 1 + Math.ceil((restarts - i) / 2) })))] as const)))
  const fronts = await Promise.all(variants.map(async ({ proxy, upstream, settings }, i) => ({
    proxy,
    name: `front${i}`,
    port: await freePort(),
    tlsPort: await freePort(),
    settings,
    isSecure: isSecure(upstream),
    upstreams: services.get(upstream)!.map(({ port }) => port)
  })))
  const proxies = new Map(await Promise.all([...new Set(variants.map(({ proxy }) => proxy))].map(async name =>
    [name, await startProxy(t, name, fronts.filter(({ proxy }) => proxy === name))] as const)))

  const loads = fronts.flatMap((front, i) => protocols.map(protocol => {
    const id = `${front.name}-${protocol === 'HTTP/2' ? 'h2' : 'http'}`
    return { id, front, protocol, title: `${variants[i]!.title}; clients: ${protocol}`, running: startClients(id, front, protocol, pace) }
  }))
  await Promise.all(loads.map(({ running }) => running.warm))
  const stops: Stopped[] = []
  for (let i = 0; i < restarts; i++) {
    await sleep(settle)
    stops.push(...await Promise.all([...services.values()].map(pair => pair[i % 2]!.restart())))
  }
  await sleep(settle)
  const tallies = await Promise.all(loads.map(({ running }) => running.stop()))
  const ledgers = await Promise.all([...services.values()].flat().map(service => service.stop()))

  const rows = await Promise.all(loads.map(async ({ id, front, protocol, title }, i): Promise<Row> => {
    const tally = tallies[i]!
    const log = (): ProxyLog | null => proxies.get(front.proxy)!.log(front.name, protocol)
    // HAProxy drops lines of its log when it is busy: what is missing then is seen in `logged`.
    await eventually(() => (log()?.requests ?? Infinity) >= tally.answered, 'the proxy has written its log').catch(() => {})
    const ids = new Set(ledgers.flatMap(ledger => ledger.ids(`${id}.`)))
    const count = (step: 'received' | 'executed', of: string): number => ledgers.reduce((sum, ledger) => sum + ledger.of(of)[step], 0)
    return {
      ...tally,
      title,
      lost: tally.sent - tally.answered,
      retried: log()?.retried ?? null,
      logged: log()?.requests ?? null,
      receivedTwice: [...ids].filter(id => count('received', id) > 1).length,
      executedButLost: [...ids].filter(id => count('executed', id) > 0).length - tally.answered
    }
  }))
  return { rows, stops }
}

interface Clients extends Running {
  /** Resolves when there were three answers for each user: then connections are kept alive. */
  warm: Promise<void>
}

function startClients (id: string, { port, tlsPort, isSecure }: Front, protocol: Protocol, pace: Pace): Clients {
  const origin = protocol === 'HTTP/2' ? `https://127.0.0.1:${tlsPort}` : `http://127.0.0.1:${port}`
  const agent = new Agent({
    headersTimeout: 20_000,
    bodyTimeout: 20_000,
    // Several users share a session of HTTP/2.
    ...(protocol === 'HTTP/2' && { allowH2: true, connections: Math.ceil(pace.users / 8), pipelining: 8, connect: { ca: tlsOptions.cert } })
  })
  const end = isSecure ? padding.small : padding.large
  const warm = deferred()
  let cold = 3 * pace.users
  const ask: Ask = async ({ method, path, body }) => {
    const isLarge = body !== null && body.length % 8 === 0
    const answer = await agent.request({ origin, method, path, body: isLarge ? body + end : body, headers: { 'content-type': 'text/plain' } })
    const text = await answer.body.text()
    if (--cold === 0) warm.resolve()
    return { status: answer.statusCode, body: isLarge && text.endsWith(end) ? text.slice(0, -end.length) : text }
  }
  return { warm: warm.promise, ...users(id, pace, ask, () => agent.destroy()) }
}
