// Handovers in which one thing goes wrong: `npm run fuzz:handover -- --runs 200`, `npm run fuzz:handover -- --seed 1234`.
import { parseArgs } from 'node:util'
import { faultRun, type FaultRun } from './helpers/handover-fuzz.ts'

const { values } = parseArgs({ options: { runs: { type: 'string', default: '200' }, seed: { type: 'string' }, at: { type: 'string', default: '3' } } })
const runs = values.seed === undefined ? Number(values.runs) : 1
const atOnce = Number(values.at)
if (!(runs >= 1) || !(atOnce >= 1)) throw new Error('--runs takes a number above 0, --at how many handovers run at once')
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 24) : Number(values.seed)
const all: FaultRun[] = []
const failed: number[] = []
let next = first

console.log(`Node ${process.version}, seeds from ${first}, ${runs} handovers, ${atOnce} at once`)
await Promise.all(Array.from({ length: atOnce }, async () => {
  while (next < first + runs) await run(next++)
}))
const sum = (count: (run: FaultRun) => number | boolean): number => all.reduce((sum, run) => sum + Number(count(run)), 0)
console.log(`${all.length} handovers, in ${sum(run => run.struck)} of them somebody was struck, ${sum(run => run.handedOver)} succeeded; ` +
  `${sum(run => run.executed)} requests executed, ${sum(run => run.diedWith)} of them died with the process that was killed; ${failed.length} went wrong`)
for (const seed of failed) console.log(`To look at it again: npm run fuzz:handover -- --seed ${seed}`)
process.exit(failed.length > 0 ? 1 : 0)

async function run (seed: number): Promise<void> {
  try {
    const result = await faultRun(seed)
    all.push(result)
    if (values.seed !== undefined) console.log(result)
    else console.log(`[${all.length}/${runs}] seed ${seed}, ${result.fault}: ${result.struck ? '' : 'over before that, '}${result.handedOver ? 'the successor serves' : 'no handover'}`)
    for (const wrong of result.wrong) console.log(`seed ${seed}, ${result.fault}: ${wrong}`)
    if (result.wrong.length > 0) failed.push(seed)
  } catch (error) {
    console.log(`seed ${seed}:`, error)
    failed.push(seed)
  }
}
