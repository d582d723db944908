import { fileURLToPath } from 'node:url'
import { account, missing, newTally, run, type Client } from '../client.ts'

/**
 * What its script sees counts. The "socket errors" of its report do not: it calls each connection that the server has closed
 * a read error, whether it waited for an answer or not.
 */
export const wrk: Client = {
  id: 'wrk',
  name: 'wrk',
  kinds: ['http', 'https'],
  missing: missing('wrk', ['--version']),
  tellsIds: true,
  start ({ origin }, { users, think }) {
    const script = fileURLToPath(new URL('wrk.lua', import.meta.url))
    const { child, ended } = run([
      'wrk', '-d', '600s', '-t', String(users), '-c', String(users), '--timeout', '20s', '-s', script, `${origin}/`, '--', 'wrk', String(think)
    ], { codes: [0, 1] })
    return {
      async stop () {
        child.kill('SIGINT')
        const { stdout } = await ended
        const [, json = ''] = /^tally (.*)$/m.exec(stdout) ?? []
        const { answered, lost, wrong, open } = JSON.parse(json)
        const tally = { ...newTally(), givenUp: open }
        account(tally, null, answered)
        if (lost > 0) account(tally, wrong === '' ? 'no answer' : wrong, lost)
        return tally
      }
    }
  }
}
