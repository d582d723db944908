import Table from 'cli-table3'
import type { Counts } from './ledger.ts'
import type { Series } from './samples.ts'
import { countBy, type SoakResult } from './soak.ts'

type Row = Array<string | number>

interface Part { title: string, head: string[], rows: Row[] }

export function tables (result: SoakResult): string {
  return [...parts(result).map(({ title, head, rows }) => {
    const table = new Table({ head, style: { head: [], border: [] }, chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' } })
    table.push(...rows)
    return `\n${title}\n${table}`
  }), '', ...summary(result)].join('\n')
}

/** The same, to be put into a page. */
export function markdown (result: SoakResult): string {
  const row = (cells: Row): string => `| ${cells.join(' | ')} |`
  return [...parts(result).map(({ title, head, rows }) => {
    return [`\n${title}\n`, row(head), row(head.map((_, i) => i === 0 ? '---' : '---:')), ...rows.map(row)].join('\n')
  }), '', ...summary(result)].join('\n')
}

function parts (result: SoakResult): Part[] {
  return [requests(result), restarts(result), memory(result)]
}

const outcomes = ['sent', 'answered', 'rejected', 'refused', 'aborted', 'late', 'crossed', 'lost'] as const

function requests ({ requests }: SoakResult): Part {
  const byClient = new Map<string, Counts>()
  for (const [name, counts] of Object.entries(requests)) {
    const client = name.split('.')[1] as string
    const sum = byClient.get(client) ?? { sent: 0, answered: 0, rejected: 0, refused: 0, aborted: 0, crossed: 0, late: 0, lost: 0 }
    for (const outcome of outcomes) sum[outcome] += counts[outcome]
    byClient.set(client, sum)
  }
  return { title: 'Requests and messages, by client', head: ['client', ...outcomes], rows: [...byClient].map(([client, counts]) => [client, ...outcomes.map(outcome => counts[outcome])]) }
}

function restarts ({ restarts }: SoakResult): Part {
  const kinds = Object.keys(countBy(restarts, ({ service, kind }) => `${service}: ${kind}`)).sort()
  return {
    title: 'Restarts; the exit in ms, from SIGTERM or from when the successor listened',
    head: ['service, kind', 'restarts', 'exit, median', 'longest', 'connections', 'handed over', 'served meanwhile', 'timed out', 'TIME_WAIT here, median', 'most'],
    rows: kinds.map(name => {
      const own = restarts.filter(({ service, kind }) => `${service}: ${kind}` === name)
      const reports = own.flatMap(({ reports }) => reports)
      const exits = own.map(({ exit }) => Math.round(exit))
      return [
        name, own.length, median(exits), Math.max(...exits), sum(reports.map(({ connections }) => connections.total)), sum(reports.map(({ connections }) => connections['handed-over'])),
        sum(reports.map(({ served }) => served)), sum(reports.map(({ connections }) => connections['timed-out'])), median(own.map(({ timeWait }) => timeWait)), Math.max(...own.map(({ timeWait }) => timeWait))
      ]
    })
  }
}

function memory ({ series }: SoakResult): Part {
  return {
    title: 'What could grow, from one generation to the next (of the harness: from one restart to the next), with 95 % confidence',
    head: ['of', 'what', 'samples', 'first', 'median', 'last', 'slope', 'low', 'high', ''],
    rows: series.filter(({ first, last, figure }) => figure !== 'external' || first + last > 0).map(({ of, figure, first, median, last, trend, verdict }) => {
      const show = (value: number): string => figures[figure](value)
      return [of, figure, trend?.points ?? '', show(first), show(median), show(last), ...trend === null ? ['', '', ''] : [trend.slope, trend.low, trend.high].map(show), verdict]
    })
  }
}

const kilobytes = (bytes: number): string => `${(bytes / 1024).toFixed(1)} kB`
const number = (value: number): string => String(Number(value.toFixed(3)))

const figures: Record<Series['figure'], (value: number) => string> = {
  rss: kilobytes, heap: kilobytes, external: kilobytes, descriptors: number, threads: number, environment: number
}

function summary ({ duration, seed, restarts, requests, executed, events, series, violations }: SoakResult): string[] {
  const counts = Object.values(requests)
  const total = (outcome: keyof Counts): number => sum(counts.map(each => each[outcome]))
  const grows = series.filter(({ verdict }) => verdict === 'grows')
  const unknown = series.filter(({ verdict }) => verdict === 'too few to tell').length
  return [
    `${Math.round(duration / 1000)} s, seed ${seed}: ${restarts.length} restarts, ${total('sent')} requests and messages sent, ${total('answered')} answered, ${executed} executed, ${events} events`,
    `${total('crossed')} crossed a FIN, ${total('refused')} were refused and sent again, ${total('late')} messages met a close frame, ${total('lost')} lost`,
    grows.length > 0
      ? `NOT FLAT: ${grows.map(({ of, figure }) => `${figure} of ${of}`).join(', ')}`
      : unknown > 0 ? 'Memory and descriptors: too few generations to tell' : 'Memory and descriptors are flat',
    `${violations.length} violations${violations.length === 0 ? '' : `: ${Object.entries(countBy(violations, ({ kind }) => kind)).map(([kind, count]) => `${count} ${kind}`).join(', ')}`}`
  ]
}

function sum (values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}

function median (values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
