import t from 'tap'
import { metrics, type MeterProvider } from '@opentelemetry/api'
import { existsSync, readFileSync } from 'node:fs'
import { Registry } from 'prom-client'
import { channelNames } from '../lib/diagnostics.ts'
import { durations, outcomes, states } from '../lib/metrics.ts'
import { drainMetrics as openTelemetry } from '../lib/opentelemetry.ts'
import { drainMetrics as prometheus } from '../lib/prometheus.ts'
import { testApp } from './helpers/app.ts'
import { hear } from './helpers/diagnostics.ts'
import { rawClient, request } from './helpers/raw-client.ts'

const text = readFileSync(new URL('../docs/observability.md', import.meta.url), 'utf8')
const [channels = '', ofPrometheus = '', ofOpenTelemetry = ''] = text.split(/^## (?:Channels|Prometheus|OpenTelemetry)$/m).slice(1)

/** The first table of this part whose first column has this heading, as lists of cells. */
function table (part: string, heading: string): string[][] {
  const lines = part.split('\n')
  const start = lines.findIndex(line => line.startsWith(`| ${heading} |`))
  const end = lines.findIndex((line, i) => i > start && !line.startsWith('|'))
  return lines.slice(start + 2, end).map(line => line.split('|').slice(1, -1).map(cell => cell.trim()))
}

const codes = (cell = ''): string[] => [...cell.matchAll(/`(.*?)`/g)].map(([, code]) => code as string)

t.test('docs/observability.md names every channel, and every member of its messages', async t => {
  const heard = hear(t)
  const { app, listen } = await testApp(t, { idleGrace: 0 })
  app.get('/', async () => 'hello')
  const client = await rawClient(t, await listen())
  client.write(request('/'))
  await client.until(/hello/)
  client.halfClose()
  await app.drain.begin('test')
  const membersOf = (channel: string): string[] => Object.keys(heard.messages.find(each => each.channel === channel)?.message).filter(name => name !== 'drain')

  const rows = table(channels, 'channel')
  t.same(rows.map(([name]) => codes(name)[0]).sort(), Object.values(channelNames).sort())
  const [phase, open, state, close, report] = rows.map(([, , members]) => codes(members))
  const common = membersOf('open')
  t.same(open, common)
  t.same([...common, ...state as string[]].sort(), membersOf('state').sort())
  t.same([...common, ...(close as string[]).filter(name => name !== 'open')].sort(), membersOf('close').sort())
  t.same(phase?.slice(0, 3), membersOf('phase'))
  t.same(report?.slice(0, 1), membersOf('report'))
  t.same(table(channels, 'member').flatMap(([name]) => codes(name)).sort(), [...new Set(['open', 'state', 'close'].flatMap(membersOf)), 'drain'].sort())
  for (const name of [...outcomes, ...states]) t.match(channels, `\`${name}\``)
})

t.test('it names every metric for Prometheus, with type and labels', async t => {
  const registry = new Registry()
  const { app } = await testApp(t)
  await app.register(prometheus, { registry })
  const made = (await registry.getMetricsAsJSON()).map(({ name, type, values }) => [
    name, String(type), ...Object.keys(values[0]?.labels ?? {}).filter(label => label !== 'le')
  ])
  t.same(table(ofPrometheus, 'metric').map(([name, type = '', labels]) => [...codes(name), type, ...codes(labels)]).sort(), made.sort())
  t.match(ofPrometheus, `buckets ${durations.join(', ')} |`)
})

t.test('it names every metric for OpenTelemetry, with instrument and unit', async t => {
  const made: string[][] = []
  const meter = metrics.getMeter('test')
  const watched = new Proxy(meter, {
    get: (target, name: string) => name.startsWith('create')
      ? (metric: string, options: { unit: string }) => { made.push([metric, name, options.unit]); return (target as any)[name](metric, options) }
      : (target as any)[name]
  })
  const { app } = await testApp(t)
  await app.register(openTelemetry, { meterProvider: { getMeter: () => watched } as MeterProvider })
  const method = (words = ''): string => `create ${words}`.replaceAll('-', ' ').replace(/ (\w)/g, (_all, letter: string) => letter.toUpperCase())
  t.same(table(ofOpenTelemetry, 'metric').map(([name, instrument, unit]) => [codes(name)[0], method(instrument), codes(unit)[0]]).sort(), made.sort())
})

t.test('every file that it links to exists', async t => {
  for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)/g)) t.ok(existsSync(new URL(`../docs/${target}`, import.meta.url)), target)
})
