import t from 'tap'
import Fastify from 'fastify'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import { defaults, KeepAliveBehind, longestIdle, proxies, type Behind, type OwnTimeouts } from '../../lib/behind.ts'
import type { HttpServer } from '../../lib/server.ts'
import { tlsOptions } from '../helpers/tls.ts'

const fastifys = defaults.fastify

/** As Fastify makes it. */
function server ({ keepAliveTimeout = fastifys.keepAliveTimeout as number, requestTimeout = 0, timeout = 0, ...options }: http.ServerOptions & { timeout?: number } = {}): HttpServer {
  return Object.assign(http.createServer(options), { keepAliveTimeout, requestTimeout, timeout })
}

function apply (server: HttpServer, behind: Behind | number, own: Partial<OwnTimeouts> = {}): string | null {
  const keepAlive = new KeepAliveBehind(behind, { ...fastifys, ...own })
  keepAlive.apply(server)
  const contradiction = keepAlive.contradiction()
  keepAlive.apply(server)
  t.equal(keepAlive.contradiction(), contradiction, 'nothing new when the server listens')
  return contradiction
}

/** How long Node really waits, as its documentation says for each version. */
function waits ({ keepAliveTimeout = 0, keepAliveTimeoutBuffer = 1000 }: HttpServer): number {
  return keepAliveTimeout + keepAliveTimeoutBuffer
}

t.test('the defaults are those of this Fastify and this Node', async t => {
  const app = Fastify()
  t.match(app.initialConfig, fastifys)
  t.equal(app.server.keepAliveTimeout, fastifys.keepAliveTimeout)
  const secure = http2.createSecureServer({ ...tlsOptions, allowHTTP1: true }) as HttpServer
  for (const name of ['keepAliveTimeout', 'headersTimeout', 'requestTimeout'] as const) {
    t.ok((defaults.node[name] as readonly unknown[]).includes(secure[name]), `${name}: ${secure[name]}`)
  }
  t.ok((defaults.node.headersTimeout as readonly unknown[]).includes(http.createServer().headersTimeout))
})

for (const [name, { idleTimeout, margin, source }] of Object.entries(proxies)) {
  t.test(`${name}: a server keeps an idle connection for longer, and says nothing`, async t => {
    t.ok(margin >= 5000 && idleTimeout > 0 && idleTimeout <= longestIdle)
    t.match(source, /^https:\/\//)
    const made = server()
    t.equal(apply(made, name as Behind), null)
    t.equal(made.keepAliveTimeout, idleTimeout + margin)
    t.ok(waits(made) >= idleTimeout + margin)
    t.ok((made.headersTimeout as number) > waits(made))
    t.equal(made.requestTimeout, 0)
  })
}

t.test('the documentation has the same numbers and sources', async t => {
  const rows = readFileSync(new URL('../../docs/behind-a-load-balancer.md', import.meta.url), 'utf8').split('\n')
  for (const [name, { idleTimeout, margin, source }] of Object.entries(proxies)) {
    const [idle, more, all] = [idleTimeout, margin, idleTimeout + margin].map(ms => `${ms / 1000} s`)
    const row = rows.find(row => row.startsWith(`| \`'${name}'\` | ${idle} | ${more} | ${all} | [`))
    t.ok(row?.endsWith(`](${source}) |`), name)
  }
})

t.test('a number is the idle timeout of the proxy', async t => {
  for (const idle of [1, 1500, longestIdle]) {
    const made = server()
    t.equal(apply(made, idle), null)
    t.equal(made.keepAliveTimeout, idle + 5000)
  }
})

t.test('what is longer, or for ever, stays', async t => {
  for (const own of [65_000, 100_000]) {
    const made = server({ keepAliveTimeout: own })
    t.equal(apply(made, 'aws-alb'), null)
    t.equal(made.keepAliveTimeout, own)
    t.ok((made.headersTimeout as number) > waits(made), 'and headersTimeout is above it')
  }
  const forEver = server({ keepAliveTimeout: 0, headersTimeout: 0 })
  t.equal(apply(forEver, 'aws-alb'), null)
  t.match(forEver, { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 })
})

t.test('what is shorter is made longer, and both numbers and the fix are told', async t => {
  const made = server({ keepAliveTimeout: 5000 })
  t.equal(apply(made, 'aws-alb'), "behind 'aws-alb' idle connections have to be kept longer than 60000 ms, but keepAliveTimeout is 5000 ms: " +
    'keepAliveTimeout is 65000 ms now; leave keepAliveTimeout out of the options of Fastify, or set at least these values')
  t.equal(made.keepAliveTimeout, 65_000)
})

t.test('headersTimeout and requestTimeout, which end a connection that was opened in advance, are told of in the same text', async t => {
  const made = server({ headersTimeout: 10_000, requestTimeout: 20_000 })
  t.match(apply(made, 20_000), /but headersTimeout is 10000 ms, requestTimeout is 20000 ms: headersTimeout is 27000 ms now, requestTimeout is 28000 ms now; leave headersTimeout, requestTimeout out/)
  t.equal(made.keepAliveTimeout, 25_000)
  t.equal(made.headersTimeout, 27_000)
  t.ok((made.requestTimeout as number) >= 27_000)
  const enough = server({ requestTimeout: 120_000 })
  t.equal(apply(enough, 20_000), null)
  t.match(enough, { requestTimeout: 120_000, headersTimeout: 60_000 })
})

t.test('connectionTimeout counts where there is no keepAliveTimeout', async t => {
  const made = server({ keepAliveTimeout: 0, timeout: 10_000 })
  t.match(apply(made, 'nginx'), /connectionTimeout is 10000 ms: keepAliveTimeout is 65000 ms now/)
  t.equal(made.keepAliveTimeout, 65_000)
  const enough = server({ keepAliveTimeout: 0, timeout: 70_000 })
  t.equal(apply(enough, 'nginx'), null)
  t.equal(enough.keepAliveTimeout, 0)
})

t.test('the buffer is the same on every Node', async t => {
  for (const own of [0, 1000, 3000]) {
    const made = server({ keepAliveTimeoutBuffer: own } as http.ServerOptions)
    const has = made.keepAliveTimeoutBuffer !== undefined
    apply(made, 'nginx')
    t.equal(made.keepAliveTimeoutBuffer, has ? Math.max(1000, own) : undefined)
    t.ok((made.headersTimeout as number) > waits(made))
  }
})

t.test('HTTP/1.1 on a secure HTTP/2 server, for which Fastify sets nothing, is kept as well', async t => {
  const made = http2.createSecureServer({ ...tlsOptions, allowHTTP1: true }) as HttpServer
  t.equal(apply(made, 'gcp'), null)
  t.equal(made.keepAliveTimeout, 620_000)
  t.ok((made.headersTimeout as number) > 621_000)
  t.ok((made.requestTimeout as number) > (made.headersTimeout as number))
})

t.test('a session of HTTP/2 is kept as long', async t => {
  const timeouts = (behind: Behind | number, http2SessionTimeout: number): { told: string | null, set: number[] } => {
    const made = http2.createServer() as HttpServer
    const told = apply(made, behind, { http2SessionTimeout })
    const set: number[] = []
    made.emit('session', { setTimeout: (ms: number) => { set.push(ms) } })
    return { told, set }
  }
  t.match(timeouts('gcp', 72_000), { told: null, set: [620_000] })
  t.match(timeouts('nginx', 72_000), { told: null, set: [] }, 'what Fastify has by default is enough')
  t.match(timeouts('nginx', 0), { told: null, set: [] }, 'for ever')
  t.match(timeouts('nginx', 10_000), { told: /http2SessionTimeout is 10000 ms: http2SessionTimeout is 65000 ms now/, set: [65_000] })
})
