import t from 'tap'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { elsewhere } from './helpers/handover-faults.ts'
import { clients } from './soak/clients.ts'
import { Journal } from './soak/journal.ts'
import { Events, Ledger } from './soak/ledger.ts'
import { leftovers } from './soak/leftovers.ts'
import { Samples, type Sample } from './soak/samples.ts'
import { soak, type SoakOptions, type SoakResult } from './soak/soak.ts'
import { tables } from './soak/tables.ts'
import { trendOf } from './soak/trend.ts'

// `npm run soak` goes on where this ends, for as long as it is told to.
const seed = 1

t.setTimeout(240_000)

function kindsOf ({ violations }: Pick<SoakResult, 'violations'>): string[] {
  return [...new Set(violations.map(({ kind }) => kind))].sort()
}

t.test('services under traffic', { skip: elsewhere() }, async t => {
  const broken: Partial<SoakOptions> = { services: ['held'], duration: 5000, every: 2000 }
  const [whole, bare, talkative] = await Promise.all([
    soak({ seed, duration: 22_000, every: 3500 }),
    soak({ seed, ...broken, faults: ['bare', 'code'] } as SoakOptions),
    soak({ seed, ...broken, faults: ['twice', 'event', 'echo', 'report'] } as SoakOptions)
  ])

  t.test('restarts of every kind lose nothing, do nothing twice, and leave nothing behind', async t => {
    t.same(whole.violations, [])
    t.same([...new Set(whole.restarts.map(({ kind }) => kind))].sort(), ['SIGTERM', 'SIGTERM, then start', 'handover', 'reuse-port'])
    for (const service of ['held', 'handed', 'shared']) {
      for (const name of Object.keys(clients).filter(name => !name.includes('events'))) {
        const counts = whole.requests[`${service}.${name}`]
        t.ok(counts !== undefined && counts.sent > 0, `${name} has used ${service}`)
        t.equal(counts?.lost, 0)
      }
    }
    t.ok(whole.events > 0, 'events have arrived')
    t.ok(whole.restarts.some(({ reports }) => reports.some(({ connections }) => connections['handed-over'] > 0)), 'connections were handed over')
    t.match(tables(whole), /0 violations/)
  })

  t.test('a service without the plugin is found out, connection by connection, with what happened around it', async t => {
    const kinds = kindsOf(bare)
    for (const kind of ['lost', 'websocket close', 'exit code']) t.ok(kinds.includes(kind), `${kind} is among ${kinds}`)
    const traces = bare.violations.filter(({ kind }) => kind === 'lost').map(({ trace }) => trace.join('\n'))
    t.ok(traces.some(trace => /SIGTERM to process \d+\n[^]*: lost: /.test(trace)), 'the restart is in the trace of what it broke')
  })

  t.test('requests that run twice, lost events, echoes that come twice and reports that do not add up are found out', async t => {
    t.same(kindsOf(talkative).filter(kind => kind !== 'event twice'), ['event missing', 'report', 'twice', 'websocket echo'])
  })
})

function ledgers (): { ledger: Ledger, events: Events, kinds: () => string[] } {
  const journal = new Journal()
  return { ledger: new Ledger(journal), events: new Events(journal), kinds: () => kindsOf(journal) }
}

t.test('the ledger', async t => {
  const cases: Record<string, { expected: string[], act: (ledger: Ledger) => void }> = {
    'executed once and answered': { expected: [], act: ledger => { ledger.executedBy(1, 'run', 'a.b.1'); ledger.answered('a.b.1') } },
    'refused, and executed when it was sent again': { expected: [], act: ledger => { ledger.refused('a.b.1'); ledger.executedBy(1, 'run', 'a.b.1'); ledger.answered('a.b.1') } },
    'executed by two processes': { expected: ['twice'], act: ledger => { ledger.executedBy(1, 'run', 'a.b.1'); ledger.executedBy(2, 'run', 'a.b.1'); ledger.answered('a.b.1') } },
    'executed again when it had been judged': { expected: ['twice'], act: ledger => { ledger.executedBy(1, 'run', 'a.b.1'); ledger.answered('a.b.1'); ledger.judge(); ledger.executedBy(2, 'run', 'a.b.1') } },
    'executed and lost': { expected: ['lost', 'unanswered'], act: ledger => { ledger.executedBy(1, 'run', 'a.b.1'); ledger.lost('a.b.1', 'ECONNRESET') } },
    'not executed and lost': { expected: ['lost'], act: ledger => ledger.lost('a.b.1', 'ECONNREFUSED') },
    'executed, and nobody knows more': { expected: ['unanswered'], act: ledger => ledger.executedBy(1, 'run', 'a.b.1') },
    'sent, and nobody knows more': { expected: ['lost'], act: () => {} },
    'answered, and no process knows of it': { expected: ['ledger'], act: ledger => ledger.answered('a.b.1') },
    'executed, and aborted by its client': { expected: [], act: ledger => { ledger.executedBy(1, 'run', 'a.b.1'); ledger.answered('a.b.1', 'aborted') } },
    'not executed, and met by a FIN': { expected: [], act: ledger => ledger.answered('a.b.1', 'crossed') },
    'executed, and met by a FIN': { expected: ['unanswered'], act: ledger => { ledger.executedBy(1, 'run', 'a.b.1'); ledger.answered('a.b.1', 'crossed') } },
    'executed, although its client was told that it was too large': { expected: ['rejected'], act: ledger => { ledger.executedBy(1, 'run', 'a.b.1'); ledger.answered('a.b.1', 'rejected') } },
    'a message that was read behind the close frame': { expected: [], act: ledger => { ledger.executedBy(1, 'late', 'a.b.1'); ledger.answered('a.b.1', 'late') } },
    'a message that was read before the close frame, and has no answer': { expected: ['unanswered'], act: ledger => { ledger.executedBy(1, 'run', 'a.b.1'); ledger.answered('a.b.1', 'late') } },
    'a message that met the close frame, and was never read': { expected: ['lost'], act: ledger => ledger.answered('a.b.1', 'late') },
    'an answer of 503': { expected: ['503'], act: ledger => ledger.wrong('a.b.1', '503', 'it was answered 503') }
  }
  for (const [name, { expected, act }] of Object.entries(cases)) {
    const { ledger, kinds } = ledgers()
    ledger.sent('a.b.1')
    act(ledger)
    ledger.judge(true)
    t.same(kinds(), expected, name)
    t.equal(ledger.pending, 0)
  }
})

t.test('the ledger of events', async t => {
  const cases: Record<string, { expected: string[], written: number[], arrived: number[] }> = {
    'each was written once, and has arrived': { expected: [], written: [1, 2, 3], arrived: [1, 2, 3] },
    'one was written and has not arrived': { expected: ['event missing'], written: [1, 2], arrived: [1] },
    'one was written again by the next process': { expected: ['event twice'], written: [1, 2, 2], arrived: [1, 2] },
    'one was left out': { expected: ['event missing'], written: [1, 3], arrived: [1, 3] },
    'one has arrived twice': { expected: ['event twice'], written: [1], arrived: [1, 1] }
  }
  for (const [name, { expected, written, arrived }] of Object.entries(cases)) {
    const { events, kinds } = ledgers()
    for (const n of written) events.writtenBy(1, 'a.events.0', n)
    for (const n of arrived) events.arrived('a.events.0', n)
    events.judge()
    t.same(kinds(), expected, name)
  }
})

const sample: Sample = { rss: 90e6, heap: 14e6, external: 3e6, descriptors: 25, connections: 20, threads: 11, environment: 3400 }

t.test('what grows from generation to generation is told from what only varies', async t => {
  const journal = new Journal()
  const samples = new Samples()
  for (let i = 0; i < 40; i++) {
    const noise = 2e6 * Math.sin(i * 7)
    samples.add('steady', i % 2 === 0 ? 'started' : 'a successor', { ...sample, rss: sample.rss + noise + (i % 2) * 5e6 })
    samples.add('leaky', '', { ...sample, rss: sample.rss + noise + i * 0.3e6, descriptors: sample.descriptors + Math.floor(i / 10) })
  }
  samples.judge(journal)
  t.same(journal.violations.map(({ what }) => what.split(' grows')[0]), ['rss of leaky', 'descriptors of leaky'])
})

t.test('a trend is the slope with its confidence, which wild points do not move', async t => {
  const points = Array.from({ length: 20 }, (_, x) => ({ x, y: x === 7 ? 10_000 : 3 * x, group: '' }))
  t.match(trendOf(points), { slope: 3, low: 3, high: 3, points: 20 })
  t.equal(trendOf(points.slice(0, 3)), null, 'three points say nothing')
})

t.test('a file, a Unix socket and a listener that are left behind are named', async t => {
  // A path of its own would be too long for a socket.
  const folder = mkdtempSync(join(tmpdir(), 'soak-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'tmp'))
  t.same(await leftovers(folder, []), [])
  writeFileSync(join(folder, 'tmp', 'forgotten'), '')
  const servers = [createServer(), createServer()] as const
  await new Promise<void>(resolve => servers[0].listen(join(folder, 'control'), resolve))
  await new Promise<void>(resolve => servers[1].listen(0, '127.0.0.1', resolve))
  const found = await leftovers(folder, [(servers[1].address() as { port: number }).port], 0)
  for (const server of servers) server.close()
  for (const what of ['socket', 'Unix socket', 'file tmp/forgotten']) t.ok(found.some(text => text.startsWith(what)), what)
})
