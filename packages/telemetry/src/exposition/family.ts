/** A number with its labels. */
export interface Sample {
  /** Follows the name of the family: `_bucket`, `_sum` or `_count` of a histogram. */
  readonly suffix: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A metric in the data model of Prometheus. Plain data, which can be sent to another process or thread. */
export interface MetricFamily {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** How the values of several processes become one. */
  readonly aggregator: 'sum' | 'max'
  readonly samples: readonly Sample[]
}

/**
 * Combines the metrics of several processes or worker threads.
 *
 * @example
 * import { mergeFamilies, metrics } from '@stowage/telemetry/prometheus'
 *
 * const families = mergeFamilies([metrics().families(), metrics().families()])
 * console.log(families.length > 0) // true
 */
export function mergeFamilies(all: readonly (readonly MetricFamily[])[]): MetricFamily[] {
  const byName = new Map<string, MetricFamily[]>()
  for (const family of all.flat()) {
    byName.set(family.name, [...(byName.get(family.name) ?? []), family])
  }
  return [...byName.values()].map(merge)
}

function merge(families: readonly MetricFamily[]): MetricFamily {
  const [first] = families as [MetricFamily]
  const samples = new Map<string, Sample>()
  for (const sample of families.flatMap((family) => family.samples)) {
    const key = JSON.stringify([sample.suffix, sample.labels])
    const other = samples.get(key)?.value
    const value = other === undefined ? sample.value : combine(first, other, sample.value)
    samples.set(key, { ...sample, value })
  }
  return { ...first, samples: [...samples.values()] }
}

function combine({ aggregator }: MetricFamily, a: number, b: number): number {
  return aggregator === 'sum' ? a + b : Math.max(a, b)
}
