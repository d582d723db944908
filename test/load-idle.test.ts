import t from 'tap'
import { eventually, testApp } from './helpers/app.ts'
import { outcomes } from './helpers/drain-slow.ts'
import { startProcess } from './helpers/process.ts'

const wanted = 10_000
// The server's side and this process's own files; the clients are in processes with the same limit.
const limit = Number((process.report?.getReport() as any).userLimits?.open_files?.soft) || Infinity
const count = Math.min(wanted, Math.floor((limit - 200) / 100) * 100)
if (count < wanted) t.comment(`${count} connections instead of ${wanted}: the limit of open files is ${limit}`)

// In ms. One turn of the event loop that closes them all takes longer.
const stallAtMost = 500

t.test(`row 30: http: ${count} idle connections all get a FIN, none is lost, and the event loop goes on turning`, async t => {
  const { app, listen } = await testApp(t, { idleGrace: 200, lingerTimeout: 20_000, lingerTime: 30_000, hardStopAfter: 60_000 })
  app.get('/', async () => 'hello')
  let accepted = 0
  app.server.on('connection', () => { accepted++ })
  const { port } = await listen()
  const clients = [1, 2].map(() => startProcess(t, new URL('fixtures/load-idle-clients.ts', import.meta.url), { args: [String(port), String(count / 2)] }))
  await Promise.all(clients.map(client => client.message(({ type }) => type === 'open')))
  await eventually(() => accepted === count, 'all are accepted')
  t.same(app.drain.connections, { new: count / 2, active: 0, idle: count / 2, upgraded: 0, lingering: 0, streams: 0 })

  const stall = longestTurn()
  const report = await app.drain.begin('test')
  const longest = stall()
  const ends = await Promise.all(clients.map(client => client.message(({ type }) => type === 'closed')))

  t.comment(`drained in ${report.duration} ms, longest turn of the event loop ${Math.round(longest)} ms`)
  for (const { fins, errors } of ends) {
    t.equal(fins, count / 2)
    t.same(errors, {})
  }
  t.equal(report.connections.total, count)
  t.same(outcomes(report), { 'half-closed': count })
  t.ok(longest < stallAtMost, `longest turn ${Math.round(longest)} ms`)
})

// Of the event loop, in ms, from now until the returned function is called. It is the time that this process
// has had a processor, because the others on this machine want one as well.
function longestTurn (): () => number {
  let longest = 0
  let last = process.cpuUsage()
  let next: NodeJS.Immediate = setImmediate(turn)
  return () => { clearImmediate(next); return longest }

  function turn (): void {
    const { user, system } = process.cpuUsage(last)
    longest = Math.max(longest, (user + system) / 1000)
    last = process.cpuUsage()
    next = setImmediate(turn)
  }
}
