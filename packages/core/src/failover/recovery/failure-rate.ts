const bucketCount = 20
/** The last part of the window, in buckets. */
const recentBuckets = 2

export interface FailureRateOptions {
  /** Share of failed calls that is too high, from 0 to 1. */
  readonly share: number
  /** Minimum number of calls in the window. */
  readonly calls: number
  /** Length of the window, in milliseconds. */
  readonly windowMs: number
}

/**
 * The share of calls that have failed recently. A success only increments a counter: the time is read when a call fails.
 * The successes since the failure before it are then assumed to be evenly distributed.
 */
export class FailureRate {
  readonly #options: FailureRateOptions
  readonly #bucketMs: number
  readonly #successes = new Float64Array(bucketCount)
  readonly #failures = new Float64Array(bucketCount)
  /** The number of the last bucket, counted from the beginning of time. */
  #bucket: number
  /** The successes that no bucket contains yet. */
  #pending = 0

  constructor(options: FailureRateOptions) {
    this.#options = options
    this.#bucketMs = options.windowMs / bucketCount
    this.#bucket = this.#currentBucket()
  }

  /** Counts a success, and returns its value. A function that is created once, to be passed to `then`. */
  readonly succeed = <T>(value: T): T => {
    this.#pending++
    return value
  }

  fail(): void {
    this.#distribute()
    increase(this.#failures, this.#bucket % bucketCount, 1)
  }

  /** Whether too many calls of the window have failed. */
  isExceeded(): boolean {
    return this.#shareOf(bucketCount, this.#options.calls)
  }

  /** The same for the last tenth of the window, however few calls it contains. */
  isRecentlyExceeded(): boolean {
    return this.#shareOf(recentBuckets, 1)
  }

  /** Forgets all calls. */
  reset(): void {
    this.#pending = 0
    this.#bucket = this.#currentBucket()
    this.#successes.fill(0)
    this.#failures.fill(0)
  }

  #shareOf(buckets: number, minCalls: number): boolean {
    this.#distribute()
    let failures = 0
    let calls = 0
    for (let back = 0; back < buckets && back <= this.#bucket; back++) {
      const index = (this.#bucket - back) % bucketCount
      failures += this.#failures[index] as number
      calls += (this.#successes[index] as number) + (this.#failures[index] as number)
    }
    return calls >= minCalls && failures >= calls * this.#options.share
  }

  /** Empties the buckets that have begun since the last failure, and distributes the successes over them. */
  #distribute(): void {
    const bucket = this.#currentBucket()
    const begun = Math.min(bucket - this.#bucket, bucketCount)
    for (let back = 0; back < begun; back++) {
      const index = (bucket - back) % bucketCount
      this.#successes[index] = this.#pending / begun
      this.#failures[index] = 0
    }
    if (begun === 0) increase(this.#successes, bucket % bucketCount, this.#pending)
    this.#pending = 0
    this.#bucket = bucket
  }

  #currentBucket(): number {
    return Math.floor(performance.now() / this.#bucketMs)
  }
}

function increase(counts: Float64Array, index: number, by: number): void {
  counts[index] = (counts[index] as number) + by
}
