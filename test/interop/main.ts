/*
 * npm run interop -- --restarts 5 --users 6 --kinds http,h2 --think 1,10,100,1000 --clients curl-11,wrk --write
 *
 * Every client across many restarts, with each pause in turn; prints one table. `--write` puts it into docs/interop.md.
 */
import Table from 'cli-table3'
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { clients } from './clients/index.ts'
import { runAcrossRestarts, type Run } from './run.ts'
import { startService, type ServerKind } from './restart.ts'

const { values } = parseArgs({
  options: {
    restarts: { type: 'string', default: '5' },
    users: { type: 'string', default: '6' },
    kinds: { type: 'string', default: 'http,https,h2c,h2' },
    think: { type: 'string', default: '1,10,100,1000' },
    clients: { type: 'string', default: clients.map(({ id }) => id).join() },
    write: { type: 'boolean', default: false }
  }
})
const [restarts, users] = [Number(values.restarts), Number(values.users)]
const wanted = values.clients.split(',')
const rows: Row[] = []
let slowest = 0

interface Row { name: string, kind: ServerKind, sent: number, lost: number, executedButLost: number, retried: number | null, twice: number | null, errors: Record<string, number> }

for (const kind of values.kinds.split(',') as ServerKind[]) {
  for (const think of values.think.split(',').map(Number)) await measure(kind, think)
}
const head = ['client', 'server', 'sent', 'lost', 'lost though executed', 'retried by the client', 'executed twice', 'errors']
const lines = rows.map(({ name, kind, sent, lost, executedButLost, retried, twice, errors }) => [
  name, kind, sent, lost, executedButLost, retried ?? '', twice ?? '', Object.entries(errors).map(([error, count]) => `${count} x ${error}`).join(', ')
])
const table = new Table({ head, style: { head: [], border: [] } })
table.push(...lines)
console.log(table.toString())
if (values.write) write()

async function measure (kind: ServerKind, think: number): Promise<void> {
  const ends: Array<() => unknown> = []
  try {
    const service = await startService({ teardown: end => { ends.unshift(end) } }, { kind, versions: restarts + 1 })
    const there = clients.filter(({ id, kinds, missing }) => wanted.includes(id) && kinds.includes(kind) && missing === false)
    const { runs, stops } = await runAcrossRestarts(service, there.map(client => ({ client, pace: { users, think } })), { restarts, settle: 1000 })
    for (const run of runs) add(kind, run)
    slowest = Math.max(slowest, ...stops.map(({ ms }) => ms))
    const lost = runs.filter(run => run.lost > 0).map(run => `${run.client.id} ${run.lost}`).join(', ')
    console.log(`${kind}, ${think} ms: exits after ${stops.map(({ ms, code }) => `${ms} ms (${code})`).join(', ')}; lost: ${lost || 'none'}`)
  } finally {
    for (const end of ends) await end()
  }
}

function add (kind: ServerKind, run: Run): void {
  const { client: { name } } = run
  let row = rows.find(row => row.name === name && row.kind === kind)
  if (row === undefined) rows.push(row = { name, kind, sent: 0, lost: 0, executedButLost: 0, retried: null, twice: null, errors: {} })
  row.sent += run.sent
  row.lost += run.lost
  row.executedButLost += run.executedButLost
  if (run.retried !== null) row.retried = (row.retried ?? 0) + run.retried
  if (run.executedTwice !== null) row.twice = (row.twice ?? 0) + run.executedTwice
  for (const [error, count] of Object.entries(run.errors)) row.errors[error] = (row.errors[error] ?? 0) + count
}

function write (): void {
  const file = new URL('../../docs/interop.md', import.meta.url)
  const markdown = [head, head.map((_, i) => i < 2 || i === head.length - 1 ? '---' : '---:'), ...lines].map(cells => `| ${cells.join(' | ')} |`)
  const conditions = `Node ${process.versions.node}, ${restarts} restarts for each server and pause, ${users} users of each client, pauses of ` +
    `${values.think.replaceAll(',', ', ')} ms; the slowest exit took ${slowest} ms.`
  writeFileSync(file, readFileSync(file, 'utf8').replace(
    /(<!-- clients -->\n)[^]*?(<!-- end of clients -->)/, (_, begin, end) => `${begin}\n${conditions}\n\n${markdown.join('\n')}\n\n${end}`))
}
