import t, { type Test } from 'tap'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { startExample } from './helpers/example.ts'
import { missingPrometheus, startPrometheus, type Prometheus, type Series } from './helpers/prometheus.ts'
import { rawClient, request } from './helpers/raw-client.ts'

const skip = process.env.CI === 'true' ? false : missingPrometheus
const dashboard = JSON.parse(await readFile(new URL('../examples/grafana/dashboard.json', import.meta.url), 'utf8'))
const panels: any[] = dashboard.panels.filter(({ type }: any) => type !== 'row')
const variables: any[] = dashboard.templating.list

/** As Grafana does it, with all jobs and instances chosen. */
function interpolate (expression: string, seconds: number): string {
  const values: Record<string, string> = { job: '.*', instance: '.*', __range: `${seconds}s`, __rate_interval: '4s', __interval: '1s' }
  return expression.replace(/\$\{?(\w+)\}?/g, (_all, name) => {
    const value = values[name]
    if (value === undefined) throw new Error(`${name} is no variable: ${expression}`)
    return value
  })
}

t.test('the dashboard has what Grafana needs: ids, places that do not overlap, a data source to choose, and a text for each panel', async t => {
  const ids = dashboard.panels.map(({ id }: any) => id)
  t.equal(new Set(ids).size, ids.length)
  t.ok(dashboard.schemaVersion >= 39)
  t.match(variables.map(({ name }) => name), ['datasource', 'job', 'instance'])
  const cells = new Set<string>()
  for (const { gridPos: { x, y, w, h }, title } of dashboard.panels) {
    t.ok(x + w <= 24, title)
    for (let i = x; i < x + w; i++) {
      for (let j = y; j < y + h; j++) {
        if (cells.has(`${i} ${j}`)) t.fail(`${title} lies on another panel`)
        cells.add(`${i} ${j}`)
      }
    }
  }
  for (const { title, description, datasource, targets, fieldConfig } of panels) {
    t.ok(description, title)
    t.match(datasource, { type: 'prometheus', uid: /^\$\{datasource\}$/ })
    t.ok(targets.length > 0 && targets.every(({ expr, refId, datasource: own }: any) => expr && refId && own.uid === datasource.uid), title)
    t.ok(fieldConfig.defaults.unit, title)
  }
})

t.test('examples/prometheus.ts is scraped to its end, and every query of the dashboard has an answer', { skip, timeout: 90_000 }, async t => {
  const { example, to } = await startExample(t, 'prometheus', { METRICS_PORT: '0', LAST_SCRAPE: '10000' })
  const target = /http:\/\/([^/]+)\/metrics/.exec(await example.says('metrics at '))?.[1] as string
  const began = Date.now() / 1000
  const prometheus = await startPrometheus(t, { job: 'example', target })
  await reaches(prometheus, 'sum(fastify_drain_connections)', value => value === 0)

  const clients = await Promise.all([1, 2, 3, 4].map(() => rawClient(t, to)))
  const [gone, idle, busy, stubborn] = clients
  for (const client of clients) {
    client.write(request('/'))
    await client.until(/hello/)
  }
  await reaches(prometheus, 'fastify_drain_connections{state="idle"}', value => value === 4)
  gone?.halfClose()
  await reaches(prometheus, 'fastify_drain_connections_closed_total{outcome="peer-closed"}', value => value === 1)
  busy?.write(request('/slow'))
  await reaches(prometheus, 'fastify_drain_connections{state="active"}', value => value === 1)
  busy?.write(request('/slow'))
  example.kill('SIGTERM')
  // The stubborn one never closes.
  for (const client of [idle, busy]) {
    await client?.fin()
    client?.halfClose()
  }
  t.match(await example.exited, { code: 0, signal: null })
  t.notMatch(example.lines.join('\n'), 'nobody has scraped the end')
  t.ok(stubborn?.sawFin)
  const ended = Date.now() / 1000 + 1
  const seconds = Math.ceil(ended - began)
  const ask = (expression: string): Promise<Series[]> => prometheus.range(interpolate(expression, seconds), began, ended)

  for (const { name, definition } of variables.filter(({ type }) => type === 'query')) {
    const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(interpolate(definition, seconds)) as string[]
    t.same(await prometheus.labelValues(label as string, selector as string), [name === 'job' ? 'example' : target], name)
  }
  const found = new Map<string, number>()
  for (const { title, targets } of panels) {
    for (const { expr, legendFormat, refId } of targets) {
      const series = await ask(expr)
      t.ok(samples(series).length > 0, `${title} (${refId}) has samples`)
      for (const label of legendFormat.match(/(?<=\{\{)\w+/g) ?? []) t.ok(series.every(({ metric }) => metric[label] !== undefined), `${title} is named by ${label}`)
      found.set(title, Math.max(...samples(series), found.get(title) ?? -Infinity))
    }
  }
  t.match(Object.fromEntries(found), {
    Connections: 4,
    'Open connections by state': 4,
    'Open connections by instance': 4,
    Cut: 0,
    'Peers lost': 0,
    'HTTP/2 streams': 0,
    'Phase by instance': 4
  })
  for (const title of ['Closed connections by outcome', 'Connections that did not end politely', 'Busy share of the connections', 'How long drains took', 'Drains', 'Mean duration', 'Requests served meanwhile']) {
    t.ok((found.get(title) as number) > 0, `${title}: ${found.get(title)}`)
  }
  await phasesWereSeen(t, ask)
  const annotation = dashboard.annotations.list.find(({ expr }: any) => expr !== undefined)
  t.ok(samples(await ask(annotation.expr)).some(value => value > 0), 'the end of the drain is marked')
})

async function phasesWereSeen (t: Test, ask: (expression: string) => Promise<Series[]>): Promise<void> {
  const { targets } = panels.find(({ title }) => title === 'Apps by phase')
  const series = await ask(targets[0].expr)
  const seen = series.filter(each => samples([each]).includes(1)).map(({ metric }) => metric.phase)
  for (const phase of ['serving', 'draining', 'closed']) t.ok(seen.includes(phase), phase)
}

function samples (series: Series[]): number[] {
  return series.flatMap(({ values }) => values.map(([, value]) => Number(value))).filter(value => Number.isFinite(value))
}

async function reaches (prometheus: Prometheus, expression: string, isReached: (value: number) => boolean): Promise<void> {
  const end = performance.now() + 20_000
  while (!isReached(await prometheus.now(expression))) {
    if (performance.now() > end) throw new Error(`Prometheus has not seen this within 20 s: ${expression}`)
    await sleep(100)
  }
}
