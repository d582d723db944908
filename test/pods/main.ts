// Pods that are replaced at random behind HAProxy, nginx and Caddy: `npm run pods -- --schedules 50`, `--scale real`, `--seed 1234`.
import { parseArgs } from 'node:util'
import { scales, scheduleOf } from './schedule.ts'
import { simulate, type Replaced } from './simulation.ts'

const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '50' },
    scale: { type: 'string', default: 'small' },
    'shutdown-delay': { type: 'string' },
    users: { type: 'string', default: '4' },
    think: { type: 'string', default: '20' },
    seed: { type: 'string' }
  }
})
const named = scales[values.scale as keyof typeof scales]
if (named === undefined) throw new Error(`--scale is one of ${Object.keys(scales).join(', ')}`)
const scale = { ...named, shutdownDelay: Number(values['shutdown-delay'] ?? named.shutdownDelay) }
const count = Number(values.schedules)
const [users, think] = [Number(values.users), Number(values.think)]
if (!(count >= 1) || !(users >= 1) || !(think >= 0) || !(scale.shutdownDelay >= 0)) throw new Error('--schedules and --users take numbers above 0, --think and --shutdown-delay ms')
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 24) : Number(values.seed)
const schedules = Array.from({ length: count }, (_, i) => scheduleOf(first + i, 2, scale))

console.log(`Node ${process.version}, seeds from ${first}, ${count} schedules: endpoints removed after 0 to ${scale.endpointDelay} ms, ` +
  `shutdownDelay ${scale.shutdownDelay} ms, SIGKILL after ${scale.gracePeriod} ms`)
const ends: Array<() => unknown> = []
const wrong: Replaced[] = []
let done = 0
let tooLate = 0
let resetByProxy = 0
try {
  const { accounts } = await simulate({ teardown: end => { ends.unshift(end) } }, {
    scale,
    schedules,
    users,
    think,
    onReplaced (replaced) {
      done++
      tooLate += replaced.seen.filter(({ removedAfter }) => removedAfter >= scale.shutdownDelay).length
      resetByProxy += replaced.seen.reduce((sum, seen) => sum + seen.resetByProxy, 0)
      if (isWrong(replaced)) wrong.push(replaced)
      console.log(`[${done}/${count}] ${text(replaced)}`)
    }
  })
  for (const { proxy, sent, answered, lost, executedButLost, receivedTwice, errors } of accounts) {
    console.log(`${proxy}: ${sent} sent, ${answered} answered, ${lost} lost (${JSON.stringify(errors)}), ${executedButLost} executed and not answered, ${receivedTwice} received twice`)
    if (executedButLost + receivedTwice > 0) process.exitCode = 1
  }
} finally {
  for (const end of ends) await end()
}
console.log(`${done} schedules, ${wrong.length} went wrong; ${tooLate} of ${done * 3} removals came after shutdownDelay, for which nothing is promised; ` +
  `${resetByProxy} connections reset by Caddy's own reload`)
for (const { schedule: { seed } } of wrong) console.log(`To look at it again: npm run pods -- --schedules 1 --seed ${seed}`)
process.exit(wrong.length > 0 ? 1 : process.exitCode ?? 0)

function isWrong ({ ended: { code, killed }, seen }: Replaced): boolean {
  return code !== 0 || killed || seen.some(({ removedAfter, failures }) => removedAfter < scale.shutdownDelay && failures.length > 0)
}

function text ({ schedule: { seed }, ended: { code, killed, ms }, readiness, seen }: Replaced): string {
  const proxies = seen.map(({ proxy, removedAfter, failures }) =>
    `${proxy} removed it after ${removedAfter} ms, ${failures.length} failed${failures.length === 0 ? '' : ` (${[...new Set(failures)].join(', ')})`}`)
  return `seed ${seed}: ${killed ? 'killed' : `exit ${code}`} after ${ms} ms, readiness ${readiness}; ${proxies.join('; ')}`
}
