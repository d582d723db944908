/** How a figure changes from one generation to the next. */
export interface Trend {
  slope: number
  /** 95 % confidence. */
  low: number
  high: number
  points: number
}

export interface Point { x: number, y: number, /** Only points of the same group are compared. */ group: string }

const z95 = 1.96

/**
 * The median of the slopes between all pairs of points of a group (Sen 1968; with groups, Hirsch, Slack and Smith 1982), which one or two
 * wild points do not move. `null`: too few pairs for an interval.
 */
export function trendOf (points: readonly Point[]): Trend | null {
  const slopes: number[] = []
  let variance = 0
  for (const group of new Set(points.map(({ group }) => group))) {
    const own = points.filter(point => point.group === group)
    const n = own.length
    variance += n * (n - 1) * (2 * n + 5) / 18
    for (const [i, a] of own.entries()) {
      for (const b of own.slice(i + 1)) slopes.push((b.y - a.y) / (b.x - a.x))
    }
  }
  slopes.sort((a, b) => a - b)
  const reach = z95 * Math.sqrt(variance)
  const [low, high] = [Math.floor((slopes.length - reach) / 2), Math.ceil((slopes.length + reach) / 2)]
  if (low < 0 || high >= slopes.length) return null
  const middle = (slopes.length - 1) / 2
  const slope = ((slopes[Math.floor(middle)] as number) + (slopes[Math.ceil(middle)] as number)) / 2
  return { slope, low: slopes[low] as number, high: slopes[high] as number, points: points.length }
}
