import { setTimeout as sleep } from 'node:timers/promises'
import { batches, account, exchangeOf, missing, requestsPerBatch, run, whatIsWrong, type Client, type Exchange, type Flaw, type Pace, type Tally, type Target } from '../client.ts'
import type { ServerKind } from '../restart.ts'

interface Variant {
  id: string
  name: string
  kinds: ServerKind[]
  /** Lines of its configuration for each request, as in a .curlrc. */
  lines: (target: Target) => string[]
  /** Requests at the same time, in one process; without a pause. */
  parallel?: number
  /** Requests of one process. */
  size?: number
  flaw?: Flaw
}

// Seen with 7.88: it reads one TLS record before it takes a connection again, and does not see GOAWAY in the next one.
const flaw: Flaw = {
  what: 'gives up a request that the server has refused with GOAWAY',
  errors: /^16: Error in the HTTP2 framing layer$/,
  ofServed: false
}

const variants: Variant[] = [
  { id: 'curl-10', name: 'curl --http1.0', kinds: ['http', 'https'], lines: () => ['http1.0', 'no-alpn'] },
  { id: 'curl-10-kept', name: 'curl --http1.0, keep-alive', kinds: ['http', 'https'], lines: () => ['http1.0', 'no-alpn', 'header = "Connection: keep-alive"'] },
  { id: 'curl-11', name: 'curl --http1.1', kinds: ['http', 'https', 'h2'], lines: () => ['http1.1'] },
  // Over http it offers to upgrade, and goes on with HTTP/1.1.
  { id: 'curl-h2', name: 'curl --http2', kinds: ['http', 'h2'], lines: () => ['http2'], flaw },
  { id: 'curl-h2-parallel', name: 'curl --http2 --parallel', kinds: ['h2'], lines: () => ['http2'], parallel: 10, flaw },
  // curl 7.88 fails to send a second request on such a connection, whatever the server does.
  { id: 'curl-h2c', name: 'curl --http2-prior-knowledge', kinds: ['h2c'], lines: () => ['http2-prior-knowledge'], size: 1, flaw }
]

/** One process for each user, which keeps its connection until it has sent some requests; then the next one. */
export const curlClients: Client[] = variants.map(variant => ({
  id: variant.id,
  name: variant.name,
  kinds: variant.kinds,
  missing: missing('curl', ['--version']),
  ...(variant.flaw === undefined ? {} : { flaw: variant.flaw }),
  tellsIds: true,
  start: (target, pace) => batches(variant.parallel === undefined ? pace.users : 1, (user, n, tally) => batch(variant, target, pace, user, n, tally))
}))

async function batch (variant: Variant, target: Target, pace: Pace, user: number, n: number, tally: Tally): Promise<void> {
  const size = variant.size ?? (variant.parallel === undefined ? requestsPerBatch(pace) : 400)
  const exchanges = Array.from({ length: size }, (_, i) => exchangeOf(variant.id, user, n * size + i))
  const pacing = variant.parallel === undefined
    ? ['--rate', `${Math.min(1000, Math.ceil(1000 / pace.think))}/s`]
    : ['--parallel', '--parallel-max', String(variant.parallel)]
  const { child, ended } = run(['curl', '--silent', '--verbose', ...pacing, '--config', '-'], { codes: any })
  child.stdin.end(exchanges.map(exchange => configOf(exchange, variant, target)).join('next\n'))
  const { stdout, stderr } = await ended
  if (size === 1) await sleep(pace.think)
  for (const line of stdout.split('\n').slice(0, -1)) settle(line, exchanges, variant, tally)
  tally.retried = (tally.retried ?? 0) + (stderr.match(/retrying a fresh connect/g)?.length ?? 0)
}

// The exit code is that of the last transfer that failed, and the write-out tells of each.
const any = Array.from({ length: 256 }, (_, code) => code)

function configOf ({ id, path, body }: Exchange, { lines, parallel }: Variant, target: Target): string {
  return [
    `url = "${target.origin}${path}"`, `cacert = "${target.ca}"`, 'max-time = 20', ...lines(target),
    ...(body === null ? [] : [`data = "${body}"`, 'header = "Content-Type: text/plain"']),
    // Bodies that come at the same time would be mixed: of those only the length is seen.
    ...(parallel === undefined ? [] : ['output = "/dev/null"']),
    `write-out = "\\t${id}\\t%{http_code}\\t%{size_download}\\t%{exitcode}\\t%{errormsg}\\n"`
  ].map(line => `${line}\n`).join('')
}

function settle (line: string, exchanges: Exchange[], { parallel }: Variant, tally: Tally): void {
  const [body = '', id, status, size, code, message] = line.split('\t')
  const exchange = exchanges.find(exchange => exchange.id === id)
  if (exchange === undefined) throw new Error(`curl wrote this: ${line}`)
  const expected = exchange.body ?? exchange.id
  const received = parallel !== undefined && Number(size) === expected.length ? expected : body
  account(tally, code === '0' ? whatIsWrong(exchange, Number(status), received) : `${code}: ${message}`)
}
