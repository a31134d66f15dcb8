/** `@stowage/telemetry`: counts what caches do, for pages and exporters of your own. */

export type { CacheCounts } from './collector/cache-counts.ts'
export { Collector, type CollectorOptions } from './collector/collector.ts'
export type { Count, Histogram } from './collector/metric-values.ts'
export type { Series } from './collector/series.ts'
