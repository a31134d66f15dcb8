import type { Caches } from '@stowage/core'
import type { Series } from '@stowage/telemetry'
import { type Metrics, metrics } from '@stowage/telemetry/prometheus'
import { History, type Point, type Totals } from './history.ts'
import { sendMetrics } from './worker-metrics.ts'

export interface Counts {
  /** Keys found, also with a stale value. */
  readonly hits: number
  /** Keys that were loaded, by this call or by another one. */
  readonly misses: number
  readonly loads: number
  readonly errors: number
}

const intervalMs = 5_000

/** What the caches of this process have done: for Prometheus, and for the status page. */
export class Statistics {
  readonly #metrics: Metrics
  readonly #histories: ReadonlyMap<string, History>
  readonly #timer: NodeJS.Timeout
  readonly #startedAt = performance.now()

  constructor(caches: Caches) {
    const { names } = caches
    this.#metrics = metrics({ caches: () => names.map((name) => caches.use(name)) })
    this.#histories = new Map(names.map((name) => [name, new History()]))
    this.#record()
    this.#timer = setInterval(() => {
      this.#record()
      sendMetrics(this.#metrics)
    }, intervalMs).unref()
  }

  /** Answers `GET /metrics`. */
  get handler(): Metrics['handler'] {
    return this.#metrics.handler
  }

  get uptimeMs(): number {
    return performance.now() - this.#startedAt
  }

  of(cache: string): Counts {
    const { loads, errors } = this.#metrics.collector
    const { hit, stale, miss, shared } = this.#metrics.collector.totalOf(cache)
    return {
      hits: hit + stale,
      misses: miss + shared,
      loads: sum(valuesOf(loads, cache).map(({ value }) => value)),
      errors: sum(valuesOf(errors, cache).map(({ value }) => value)),
    }
  }

  /** The last ten minutes of a cache, until now. */
  lastMinutes(cache: string): Point[] {
    this.#record()
    return this.#histories.get(cache)?.points(performance.now()) ?? []
  }

  close(): void {
    clearInterval(this.#timer)
    this.#metrics.stop()
  }

  #record(): void {
    for (const [cache, history] of this.#histories)
      history.record(performance.now(), this.#totalsOf(cache))
  }

  #totalsOf(cache: string): Totals {
    const { collector } = this.#metrics
    const { hit, miss, stale, shared, error } = collector.totalOf(cache)
    const histograms = valuesOf(collector.durations, cache)
    const bounds = histograms[0]?.bounds ?? []
    const durations = Array.from({ length: bounds.length + 1 }, (_, bucket) =>
      sum(histograms.map(({ counts }) => counts[bucket] ?? 0)),
    )
    return { reads: hit + miss + stale + shared + error, hits: hit + stale, durations, bounds }
  }
}

/** Hits divided by lookups, from 0 to 1. `undefined` before the first lookup. */
export function hitRatio({ hits, misses }: Counts): number | undefined {
  const lookups = hits + misses
  return lookups === 0 ? undefined : hits / lookups
}

/** The values of a metric that belong to a cache. */
function valuesOf<V>(series: Series<V>, cache: string): V[] {
  return [...series].flatMap(([labels, value]) => (labels.cache === cache ? [value] : []))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
