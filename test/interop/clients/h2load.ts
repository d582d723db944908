import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { account, batches, missing, requestsPerBatch, run, type Client, type Flaw } from '../client.ts'
import type { ServerKind } from '../restart.ts'

/**
 * All its requests are the same: one process sends GET, another one POST, without a pause: with --rps it would open no other
 * connection after `Connection: close`.
 */
function h2loadClient (id: string, name: string, kinds: ServerKind[], options: string[], flaw?: Flaw): Client {
  return {
    id,
    name,
    kinds,
    missing: missing('h2load', ['--version']),
    ...(flaw === undefined ? {} : { flaw }),
    tellsIds: false,
    start ({ origin }, pace) {
      const folder = mkdtempSync(join(tmpdir(), 'interop-h2load-'))
      const body = join(folder, 'body')
      writeFileSync(body, 'x'.repeat(500))
      const clients = Math.ceil(pace.users / 2)
      const running = batches(2, async (user, _n, tally) => {
        const { stdout } = await run([
          'h2load', ...options, '-c', String(clients), '-n', String(clients * requestsPerBatch(pace)), '--connection-inactivity-timeout', '20',
          ...(user === 0 ? [] : ['--data', body]), `${origin}/items/${id}.-`
        ]).ended
        const [, total, failed, errored] = /^requests: (\d+) total, .* (\d+) failed, (\d+) errored, 0 timeout/m.exec(stdout) ?? []
        const [, ok, redirected, notFound, broken] = /^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/m.exec(stdout) ?? []
        account(tally, null, Number(ok))
        const other = Number(redirected) + Number(notFound) + Number(broken)
        if (other > 0) account(tally, 'status other than 2xx', other)
        const lost = Number(total) - Number(ok) - other
        if (lost > 0) account(tally, failed === errored ? 'never sent' : 'failed', lost)
      })
      return {
        async stop () {
          const tally = await running.stop()
          rmSync(folder, { recursive: true })
          return tally
        }
      }
    }
  }
}

export const h2loadClients = [
  h2loadClient('h2load-h1', 'h2load --h1', ['http', 'https'], ['--h1']),
  h2loadClient('h2load', 'h2load HTTP/2', ['h2c', 'h2'], ['-m', '5'], {
    what: 'opens no other connection after GOAWAY, and counts what it would have sent as errors',
    errors: /^never sent$/,
    ofServed: false
  })
]
