// Random drains until the time is over: `npm run fuzz -- --minutes 2`. A seed that goes wrong is printed with the clients it takes.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { fuzzRun, shrink } from './helpers/fuzz-run.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '2' }, seed: { type: 'string' }, at: { type: 'string', default: '6' } } })
const minutes = Number(values.minutes)
const atOnce = Number(values.at)
if (!(minutes > 0) || !(atOnce >= 1)) throw new Error('--minutes takes a number above 0, --at how many drains run at once')
const end = performance.now() + minutes * 60_000
const underWay = new Set<number>()
const failed: number[] = []
const done: Record<string, number> = {}
let executed = 0

for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, error => {
    console.error(`\nNobody caught this, in one of the runs ${[...underWay].map(replay).join(', ')}:`, error)
    process.exit(1)
  })
}

if (values.seed === undefined) await runUntilTheEnd(Math.floor(Math.random() * 2 ** 24) * 4)
else await look(Number(values.seed))
process.exit(failed.length > 0 ? 1 : 0)

async function runUntilTheEnd (first: number): Promise<void> {
  let next = first
  console.log(`Node ${process.version}, seeds from ${first}, ${minutes} min, ${atOnce} drains at once`)
  const progress = setInterval(() => console.log(text()), 15_000)
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (performance.now() < end) await run(next++)
  }))
  clearInterval(progress)
  console.log(text())
  for (const seed of failed) console.log(`To look at it again: npm run fuzz -- ${replay(seed)}`)
}

async function run (seed: number): Promise<number> {
  underWay.add(seed)
  const result = await Promise.race([fuzzRun(seed), tooLong(seed)]).catch((error: unknown) => ({ wrong: [String(error)], server: 'none', clients: 0, executed: 0 }))
  underWay.delete(seed)
  done[result.server] = (done[result.server] ?? 0) + 1
  executed += result.executed
  for (const wrong of result.wrong) console.log(`seed ${seed}: ${wrong}`)
  if (result.wrong.length > 0) failed.push(seed)
  return result.clients
}

// Every drain has a deadline of a few seconds, and every step of a client a limit.
async function tooLong (seed: number): Promise<never> {
  await sleep(60_000, null, { ref: false })
  throw new Error(`it has not ended after a minute (seed ${seed})`)
}

/** Timing is not part of a seed, so a run that goes wrong now and then is tried more than once. */
async function look (seed: number): Promise<void> {
  for (let i = 0; i < 10; i++) {
    const clients = await run(seed)
    if (failed.length === 0) continue
    console.log(`After ${i + 1} runs. The clients that it takes: ${(await shrink(seed, clients)).join(', ')} of ${clients}`)
    return
  }
  console.log('10 runs, nothing went wrong')
}

function replay (seed: number): string {
  return `--seed ${seed}`
}

function text (): string {
  const servers = Object.entries(done).map(([name, count]) => `${count} ${name}`).join(', ')
  return `${servers}: ${executed} requests executed, ${failed.length} drains went wrong`
}
