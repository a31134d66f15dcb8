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
  const names = read().map(({ name, help, type, aggregator }) => {
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
    registry.registerMetric(metric as never)
    return name
  })
  return () => {
    for (const name of names) registry.removeSingleMetric(name)
  }
}
