import { harness, type Journal } from './journal.ts'
import { trendOf, type Point, type Trend } from './trend.ts'

/** What a process has of everything that can grow. Memory in bytes; descriptors without those of connections. */
export interface Sample { rss: number, heap: number, external: number, descriptors: number, connections: number, threads: number, environment: number }

export type Figure = Exclude<keyof Sample, 'connections'>

export interface Series { of: string, figure: Figure, first: number, last: number, median: number, trend: Trend | null, verdict: 'flat' | 'grows' | 'too few to tell' }

type Limits = { share: number } | { count: number }

// What may come of chance, or of warming up, over a whole run: of memory a share, of the others a number.
const tolerated: Record<Figure, Limits> = {
  rss: { share: 0.05 },
  heap: { share: 0.05 },
  external: { share: 0.1 },
  descriptors: { count: 1 },
  threads: { count: 1 },
  environment: { count: 8 }
}

// It keeps what it has measured.
const toleratedOfHarness = { share: 0.3 }

/** Samples of each service, generation by generation, and of the harness. */
export class Samples {
  readonly #samples = new Map<string, Array<{ x: number, group: string, sample: Sample }>>()

  /** `group`: only samples of the same group are compared. */
  add (of: string, group: string, sample: Sample): void {
    const all = this.#samples.get(of) ?? []
    all.push({ x: all.length, group, sample })
    this.#samples.set(of, all)
  }

  all (): Record<string, Sample[]> {
    return Object.fromEntries([...this.#samples].map(([of, all]) => [of, all.map(({ sample }) => sample)]))
  }

  series (): Series[] {
    return [...this.#samples].flatMap(([of, all]) => (Object.keys(tolerated) as Figure[]).map(figure => {
      const points = all.map(({ x, group, sample }) => ({ x, group, y: sample[figure] }))
      const limits = of === harness && 'share' in tolerated[figure] ? toleratedOfHarness : tolerated[figure]
      return { of, figure, ...judged(limits, points) }
    }))
  }

  judge (journal: Journal): void {
    for (const { of, figure, verdict, first, last, trend } of this.series()) {
      if (verdict === 'grows') journal.violation('growth', `${figure} of ${of} grows, from ${first} to ${last}: ${trend?.slope} per generation (95 % ${trend?.low} to ${trend?.high})`)
    }
  }
}

function judged (limits: Limits, points: Point[]): Omit<Series, 'of' | 'figure'> {
  const values = points.map(({ y }) => y)
  const median = medianOf(values)
  const limit = 'count' in limits ? limits.count : limits.share * median
  const trend = trendOf(points)
  const third = Math.ceil(values.length / 3)
  const growth = Math.min((trend?.low ?? 0) * (points.length - 1), medianOf(values.slice(-third)) - medianOf(values.slice(0, third)))
  return { first: values[0] ?? 0, last: values.at(-1) ?? 0, median, trend, verdict: trend === null ? 'too few to tell' : growth > limit ? 'grows' : 'flat' }
}

function medianOf (values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
