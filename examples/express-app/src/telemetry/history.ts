/** What was counted until a moment. */
export interface Totals {
  /** Keys read, and those of them that were found. */
  readonly reads: number
  readonly hits: number
  /** How many calls lie in each bucket of their duration, and at last those beyond all buckets. */
  readonly durations: readonly number[]
  /** The upper bounds of the buckets, in seconds. */
  readonly bounds: readonly number[]
}

/** What has happened in the minute before a moment. `undefined` if nothing was read or called. */
export interface Point {
  /** How long before now, in milliseconds. */
  readonly ageMs: number
  readonly hitRatio: number | undefined
  readonly medianMs: number | undefined
  /** 99 % of the calls were faster. */
  readonly p99Ms: number | undefined
}

export const historyMs = 600_000
const windowMs = 60_000

/** The totals of the last minutes, from which rates and quantiles are computed, as Prometheus does with its samples. */
export class History {
  #samples: readonly (Totals & { readonly at: number })[] = []

  /** Keeps the totals of a moment, in milliseconds of a monotonic clock. */
  record(at: number, totals: Totals): void {
    const oldest = at - historyMs - windowMs
    this.#samples = [...this.#samples.filter((sample) => sample.at >= oldest), { at, ...totals }]
  }

  /** The points of the last ten minutes, the oldest first. */
  points(now: number): Point[] {
    const samples = this.#samples.filter(({ at }) => at >= now - historyMs)
    return samples.map((last) => {
      const first = this.#samples.find(({ at }) => at >= last.at - windowMs) ?? last
      return { ageMs: now - last.at, ...between(first, last) }
    })
  }
}

function between(first: Totals, last: Totals): Omit<Point, 'ageMs'> {
  const reads = last.reads - first.reads
  const counts = last.durations.map((count, bucket) => count - (first.durations[bucket] ?? 0))
  return {
    hitRatio: reads === 0 ? undefined : (last.hits - first.hits) / reads,
    medianMs: quantileMs(last.bounds, counts, 0.5),
    p99Ms: quantileMs(last.bounds, counts, 0.99),
  }
}

/** Interpolates in the bucket that contains the quantile, as `histogram_quantile` of Prometheus does. */
function quantileMs(
  bounds: readonly number[],
  counts: readonly number[],
  share: number,
): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return undefined
  let remaining = share * total
  for (const [bucket, count] of counts.entries()) {
    const upper = bounds[bucket]
    if (upper === undefined) break
    const lower = bounds[bucket - 1] ?? 0
    if (count > 0 && remaining <= count)
      return 1000 * (lower + (upper - lower) * (remaining / count))
    remaining -= count
  }
  return 1000 * (bounds.at(-1) ?? 0)
}
