import { account, missing, newTally, run, type Client, type Flaw } from '../client.ts'
import type { ServerKind } from '../restart.ts'

/** All its requests are the same: one process sends GET, another one POST. The pause is that between two beginnings. */
function heyClient (id: string, name: string, kinds: ServerKind[], options: string[], flaw?: Flaw): Client {
  return {
    id,
    name,
    kinds,
    missing: missing('hey', ['-h']),
    ...(flaw === undefined ? {} : { flaw }),
    tellsIds: false,
    start ({ origin }, { users, think }) {
      const pacing = ['-z', '600s', '-t', '20', '-c', String(Math.ceil(users / 2)), '-q', String(Math.ceil(1000 / think))]
      const url = `${origin}/items/${id}.-`
      const processes = [[], ['-m', 'POST', '-T', 'text/plain', '-d', 'x'.repeat(500)]].map(method =>
        run(['hey', ...options, ...pacing, ...method, url]))
      return {
        async stop () {
          const tally = newTally()
          for (const { child } of processes) child.kill('SIGINT')
          for (const { ended } of processes) {
            const { stdout } = await ended
            for (const [, status, count] of stdout.matchAll(/^ +\[(\d{3})\]\t(\d+) responses$/gm)) {
              account(tally, status === '200' ? null : `status ${status}`, Number(count))
            }
            for (const [, count, error] of stdout.matchAll(/^ +\[(\d+)\]\t(?!\d+ responses$)(.*)$/gm)) {
              account(tally, (error ?? '').replace(/^.*?": /, ''), Number(count))
            }
          }
          return tally
        }
      }
    }
  }
}

export const heyClients = [
  heyClient('hey', 'hey HTTP/1.1', ['http', 'https'], []),
  heyClient('hey-h2', 'hey HTTP/2', ['h2'], ['-h2'], {
    what: 'cannot send a POST again that was refused, because it does not keep the body',
    errors: /define Request\.GetBody/,
    ofServed: false
  })
]
