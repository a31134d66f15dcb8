/** `@stowage/telemetry/prometheus`: metrics in the formats of Prometheus and OpenMetrics. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { Collector, type CollectorOptions } from './collector/collector.ts'
import { familiesOf } from './exposition/families.ts'
import type { MetricFamily } from './exposition/family.ts'
import { type PromRegistry, register } from './exposition/prom-client.ts'
import {
  openMetricsType,
  prefersOpenMetrics,
  renderFamilies,
  textType,
} from './exposition/text-format.ts'

export type { CollectorOptions } from './collector/collector.ts'
export { type MetricFamily, mergeFamilies, type Sample } from './exposition/family.ts'
export type { PromRegistry } from './exposition/prom-client.ts'

/** Metrics of the caches in this process. @see metrics */
export interface Metrics {
  /** What is counted. */
  readonly collector: Collector
  /**
   * Answers a request of Prometheus, in the format that its header `Accept` prefers; with 500 if the option `caches` throws.
   * Needs no `this`.
   */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void
  /** The metrics as text, by default in the format of Prometheus. */
  render(format?: 'text' | 'openmetrics'): string
  /** The metrics as plain data, for another process or thread. @see mergeFamilies */
  families(): MetricFamily[]
  /** Stops counting, and removes the metrics from the registry. */
  stop(): void
}

/**
 * Counts what the caches of this process do, from now on.
 *
 * @param registry of prom-client, which then contains the metrics. Without it, `handler` or `render` returns them
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @example
 * import { createServer } from 'node:http'
 * import { metrics } from '@stowage/telemetry/prometheus'
 *
 * const { handler, stop } = metrics()
 * createServer(handler)
 * await cache.get('missing')
 * stop()
 */
export function metrics(registry?: PromRegistry, options?: CollectorOptions): Metrics
export function metrics(options?: CollectorOptions): Metrics
export function metrics(
  first?: PromRegistry | CollectorOptions,
  options: CollectorOptions = {},
): Metrics {
  const registry = first !== undefined && 'registerMetric' in first ? first : undefined
  const given = registry === undefined ? (first as CollectorOptions | undefined) : options
  const collector = new Collector(given ?? options)
  const families = () => familiesOf(collector)
  const unregister = registry === undefined ? undefined : registered(registry, collector, families)
  return {
    collector,
    families,
    handler: (request, response) => answerWith(families, request, response),
    render: (format = 'text') => renderFamilies(families(), format === 'openmetrics'),
    stop: () => {
      collector.stop()
      unregister?.()
    },
  }
}

/** What a handler throws would end the process. */
function answerWith(
  families: () => MetricFamily[],
  request: IncomingMessage,
  response: ServerResponse,
): void {
  try {
    answer(request, response, families())
  } catch (error) {
    response.statusCode = 500
    response.setHeader('Content-Type', 'text/plain; charset=utf-8')
    response.end(`The metrics cannot be read: ${(error as Error | undefined)?.message}\n`)
  }
}

/** Registers the metrics. If that fails, nothing is counted any more. */
function registered(
  registry: PromRegistry,
  collector: Collector,
  families: () => MetricFamily[],
): () => void {
  try {
    return register(registry, families)
  } catch (error) {
    collector.stop()
    throw error
  }
}

/**
 * Answers a request with metrics, in the format that its header `Accept` prefers.
 *
 * @example
 * import { createServer } from 'node:http'
 * import { answer, mergeFamilies, metrics } from '@stowage/telemetry/prometheus'
 *
 * const families = mergeFamilies([metrics().families()])
 * createServer((request, response) => answer(request, response, families))
 */
export function answer(
  { headers }: IncomingMessage,
  response: ServerResponse,
  families: readonly MetricFamily[],
): void {
  const isOpenMetrics = prefersOpenMetrics(headers.accept)
  response.setHeader('Content-Type', isOpenMetrics ? openMetricsType : textType)
  response.end(renderFamilies(families, isOpenMetrics))
}
