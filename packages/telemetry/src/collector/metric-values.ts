/** A number that only grows. */
export class Count {
  value = 0
}

/** The upper bounds of the buckets for durations, in seconds: from a hit in memory to a timeout. */
export const durationBounds: readonly number[] = [
  0.000_01, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
  10,
]

/** The upper bounds of the buckets for the number of keys of a request. */
export const keyBounds: readonly number[] = [1, 2, 5, 10, 25, 50, 100, 250, 500]

/** How many observations lie in each bucket. */
export class Histogram {
  readonly bounds: readonly number[]
  /** The number of observations in each bucket only, and at last those beyond all bounds. */
  readonly counts: number[]
  sum = 0
  count = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array(bounds.length + 1).fill(0)
  }

  observe(value: number): void {
    let bucket = 0
    while (bucket < this.bounds.length && value > (this.bounds[bucket] as number)) bucket++
    this.counts[bucket] = (this.counts[bucket] as number) + 1
    this.sum += value
    this.count++
  }

  /**
   * Returns the upper bound of the bucket that contains this quantile of the observations: `quantile(0.99)`.
   * `undefined` without observations.
   */
  quantile(share: number): number | undefined {
    if (this.count === 0) return undefined
    let remaining = share * this.count
    const bucket = this.counts.findIndex((count) => {
      remaining -= count
      return remaining <= 0
    })
    return this.bounds[bucket] ?? Infinity
  }
}
