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
  readonly aggregator: 'sum' | 'min' | 'max'
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
  return Array.from(byName.values(), (families) =>
    mergeSamples({
      ...(families[0] as MetricFamily),
      samples: families.flatMap(({ samples }) => samples),
    }),
  )
}

/** Combines the samples with equal labels, which a scrape must not contain twice. */
export function mergeSamples(family: MetricFamily): MetricFamily {
  const combine = combinations[family.aggregator]
  const samples = new Map<string, Sample>()
  for (const sample of family.samples) {
    const key = JSON.stringify([sample.suffix, sample.labels])
    const other = samples.get(key)?.value
    const value = other === undefined ? sample.value : combine(other, sample.value)
    samples.set(key, { ...sample, value })
  }
  return { ...family, samples: [...samples.values()] }
}

const combinations = {
  sum: (a: number, b: number) => a + b,
  min: Math.min,
  max: Math.max,
} as const
