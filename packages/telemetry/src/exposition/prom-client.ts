import type { MetricFamily } from './family.ts'

/** What is used of a registry of prom-client. */
export interface PromRegistry {
  registerMetric(metric: never): void
  removeSingleMetric(name: string): void
}

/**
 * Registers metrics with prom-client, which calls `get` when it is scraped. An `inc()` of prom-client for each event
 * would take longer than a hit in memory.
 */
export function register(registry: PromRegistry, read: () => readonly MetricFamily[]): () => void {
  const names: string[] = []
  const unregister = () => {
    for (const name of names.splice(0)) registry.removeSingleMetric(name)
  }
  try {
    for (const family of read()) {
      registry.registerMetric(metricOf(family, read) as never)
      names.push(family.name)
    }
  } catch (error) {
    // A metric of the application, or of another call, has the name.
    unregister()
    throw error
  }
  return unregister
}

function metricOf(
  { name, help, type, aggregator }: MetricFamily,
  read: () => readonly MetricFamily[],
): object {
  const get = async () => {
    const samples = read().find((family) => family.name === name)?.samples ?? []
    const values = samples.map(({ suffix, labels, value }) => ({
      value,
      labels,
      // That of a counter is its own, to which prom-client adds a suffix for OpenMetrics.
      ...(suffix !== '' && { metricName: `${name}${suffix}` }),
    }))
    // For OpenMetrics, prom-client removes the suffix of a counter from `metric.name`.
    return { name: metric.name, help, type, aggregator, values }
  }
  const metric = { name, help, type, aggregator, collect: undefined, get, reset: () => {} }
  return metric
}
