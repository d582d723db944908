import { lacks, startProgram } from './systemd.ts'

interface Test { teardown (fn: () => unknown): void, testdir (files: Record<string, string>): string }

export interface Series {
  metric: Record<string, string>
  values: Array<[seconds: number, value: string]>
}

export interface Prometheus {
  /** The values of an expression over time, each second; rejects when Prometheus does not understand it. */
  range (expression: string, from: number, to: number): Promise<Series[]>
  /** The value of an expression now, of its first series; NaN: there is none. */
  now (expression: string): Promise<number>
  /** The values of a label of the series that fit. */
  labelValues (label: string, selector: string): Promise<string[]>
}

/** What is missing, or `false`. */
export const missingPrometheus = lacks(['prometheus', 'prometheus'])

/** A Prometheus server on loopback that scrapes one target every second; it and its data are gone at the end of the test. */
export async function startPrometheus (t: Test, { job, target }: { job: string, target: string }): Promise<Prometheus> {
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s' },
    scrape_configs: [{ job_name: job, static_configs: [{ targets: [target] }] }]
  }
  // JSON is YAML.
  const folder = t.testdir({ 'prometheus.yml': JSON.stringify(config) })
  const program = startProgram(t, [
    'prometheus', `--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`, '--web.listen-address=127.0.0.1:0'
  ])
  const address = /address=(\S+)/.exec(await program.says('msg="Listening on"'))?.[1]
  await program.says('Server is ready to receive web requests')
  const ask = async (path: string, query: Record<string, string | number>): Promise<any> => {
    const search = new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]))
    const { status, data, error } = await (await fetch(`http://${address}/api/v1/${path}?${search}`)).json() as any
    if (status !== 'success') throw new Error(`${error}: ${JSON.stringify(query)}`)
    return data
  }
  return {
    range: async (query, start, end) => (await ask('query_range', { query, start, end, step: 1 })).result,
    now: async query => Number((await ask('query', { query })).result[0]?.value[1] ?? NaN),
    labelValues: async (label, selector) => await ask(`label/${label}/values`, { 'match[]': selector })
  }
}
