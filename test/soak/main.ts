// Services that are restarted by turns under traffic that never stops: `npm run soak -- --minutes 5`. A seed says what the clients do, and when
// is up to the machine.
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import logUpdate from 'log-update'
// @ts-expect-error -- plain JavaScript
import { nodeLine } from '../../scripts/toolchain.js'
import { seconds, type Violation } from './journal.ts'
import { soak, type Progress } from './soak.ts'
import { markdown, tables } from './tables.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    every: { type: 'string', default: '5000' },
    seed: { type: 'string' },
    node: { type: 'string' },
    json: { type: 'string' },
    report: { type: 'boolean', default: false }
  }
})
const minutes = Number(values.minutes)
const every = Number(values.every)
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 24) : Number(values.seed)
if (!(minutes > 0) || !(every >= 1000) || !(seed >= 0)) throw new Error('--minutes takes a number above 0, --every ms from 1000 on, --seed a number')
const node: { path?: string, error?: string } = values.node === undefined ? { path: process.execPath } : await nodeLine(values.node)
if (node.path === undefined) throw new Error(`Node ${values.node}: ${node.error}`)
const command = `npm run soak -- --minutes ${values.minutes} --every ${every} --seed ${seed}${values.node === undefined ? '' : ` --node ${values.node}`}`

const interrupted = new AbortController()
// A terminal, and whoever has started this process, may both send it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort())
let shown = 0

console.log(`Node ${values.node ?? process.version}, seed ${seed}, ${minutes} min, a restart every ${every} ms`)
const result = await soak({ duration: minutes * 60_000, every, seed, node: node.path, signal: interrupted.signal, onViolation: show, onProgress: progress })
logUpdate.done()
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ node: values.node ?? process.version, every, ...result }, null, 1)}\n`)
console.log(values.report ? markdown(result) : tables(result))
if (result.violations.length > 0) console.log(`To look at it again: ${command}`)
if (interrupted.signal.aborted) console.log('Interrupted; what was done by then was judged.')
process.exitCode = result.violations.length > 0 ? 1 : interrupted.signal.aborted ? 130 : 0

function show ({ kind, what, at, trace }: Violation): void {
  logUpdate.clear()
  console.log(`VIOLATION at ${seconds(at)}, ${kind}: ${what}\n${trace.map(line => `    ${line}`).join('\n')}`)
}

function progress ({ elapsed, restarts, requests, executed, events, violations }: Progress): void {
  const kinds = Object.entries(restarts).map(([kind, count]) => `${count} ${kind}`).join(', ')
  const line = `${Math.round(elapsed / 1000)} s: restarts ${kinds || 'none yet'}; ${requests} requests, ${executed} executed, ${events} events; ${violations} violations`
  if (process.stdout.isTTY) return logUpdate(line)
  // A log gets a line now and then.
  if (elapsed - shown < 15_000) return
  shown = elapsed
  console.log(line)
}
