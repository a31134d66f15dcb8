import type { AuditReport, Cache, NearStats } from '@stowage/core'
import { storeUsage } from '@stowage/core/tools'
import { results } from '../collector/cache-counts.ts'
import type { Collector } from '../collector/collector.ts'
import type { Count, Histogram } from '../collector/metric-values.ts'
import type { Series } from '../collector/series.ts'
import { type MetricFamily, mergeSamples, type Sample } from './family.ts'

type Type = MetricFamily['type']

const auditWindows = ['1s', '1m', '10m'] as const

/** The metrics of a collector, with what it has counted until now. */
export function familiesOf(collector: Collector): MetricFamily[] {
  const of = collector
  return [
    counter('cache_requests_total', 'Keys read, by what the caller received.', requestSamples(of)),
    counter(
      'cache_writes_total',
      'Keys written by calls that succeeded.',
      keySamples(of, 'writes'),
    ),
    counter(
      'cache_deletes_total',
      'Keys deleted by calls that succeeded.',
      keySamples(of, 'deletes'),
    ),
    counts('cache_errors_total', 'Failures, also those that callers did not see.', of.errors),
    times('cache_operation_duration_seconds', 'Duration of calls.', of.durations),
    counts('cache_loads_total', 'Loads that have ended.', of.loads),
    times('cache_load_duration_seconds', 'Duration of loads.', of.loadDurations),
    gauges('cache_loads_in_flight', 'Loads that have not ended.', of.loadsInFlight),
    times('cache_lease_wait_seconds', 'Waits for a load of another process.', of.leaseWaits),
    times('cache_lock_wait_seconds', 'Waits for a lock or a slot.', of.lockWaits),
    counts(
      'cache_evictions_total',
      'Entries evicted from the memory of the process.',
      of.evictions,
    ),
    counts('cache_invalidations_total', 'Tags invalidated, and caches cleared.', of.invalidations),
    counts('near_resets_total', 'Times that a near cache dropped all entries.', of.nearResets),
    ...stateOf(of.caches),
    histogram('batch_keys', 'Keys of a request to a server.', of.batchKeys),
    times('request_duration_seconds', 'Duration of requests to a server.', of.requestDurations),
    gauges(
      'breaker_state',
      'State of a breaker: 0 closed, 1 half-open, 2 open.',
      of.breakers,
      'max',
    ),
    counts('topology_changes_total', 'Changes of servers and connections.', of.topologyChanges),
    gauges(
      'replica_linked',
      'Whether a replica replies and is connected to its primary.',
      of.replicaLinks,
      'min',
    ),
    gauges(
      'replica_lag_bytes',
      'Bytes of the replication stream that a replica has not applied.',
      of.replicaLags,
      'max',
    ),
    counts('sessions_total', 'Sessions created, and ended by a call.', of.sessionChanges),
    counts(
      'session_writes_total',
      'Writes of sessions that were not stored as they are.',
      of.sessions,
    ),
    counts('http_responses_total', 'Requests, by what answered them.', of.httpResponses),
    counts('http_errors_total', 'Responses that were sent without the HTTP cache.', of.httpErrors),
  ]
}

function family(
  type: Type,
  name: string,
  help: string,
  samples: readonly Sample[],
  aggregator: MetricFamily['aggregator'] = 'sum',
): MetricFamily {
  return { name: `stowage_${name}`, help, type, aggregator, samples }
}

function requestSamples({ requests }: Collector): Sample[] {
  return Array.from(requests, ([labels, counts]) =>
    results.map((result) => ({ suffix: '', labels: { ...labels, result }, value: counts[result] })),
  ).flat()
}

function keySamples({ requests }: Collector, field: 'writes' | 'deletes'): Sample[] {
  return Array.from(requests, ([labels, counts]) => ({ suffix: '', labels, value: counts[field] }))
}

function counter(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return family('counter', name, help, samples)
}

function counts(name: string, help: string, series: Series<Count>): MetricFamily {
  return counter(name, help, countSamples(series))
}

function gauges(
  name: string,
  help: string,
  series: Series<Count>,
  aggregator?: MetricFamily['aggregator'],
): MetricFamily {
  return family('gauge', name, help, countSamples(series), aggregator)
}

function countSamples(series: Series<Count>): Sample[] {
  return Array.from(series, ([labels, { value }]) => ({ suffix: '', labels, value }))
}

const times = histogram

function histogram(name: string, help: string, series: Series<Histogram>): MetricFamily {
  return family('histogram', name, help, [...histogramSamples(series)])
}

function* histogramSamples(series: Series<Histogram>): Generator<Sample> {
  for (const [labels, { bounds, counts, sum, count }] of series) {
    let cumulative = 0
    for (const [index, bound] of [...bounds, Infinity].entries()) {
      cumulative += counts[index] as number
      yield { suffix: '_bucket', labels: { ...labels, le: boundLabel(bound) }, value: cumulative }
    }
    yield { suffix: '_sum', labels, value: sum }
    yield { suffix: '_count', labels, value: count }
  }
}

/** In the canonical form of OpenMetrics: `1.0`, `+Inf`. */
function boundLabel(bound: number): string {
  if (bound === Infinity) return '+Inf'
  return Number.isInteger(bound) ? `${bound}.0` : String(bound)
}

/** What the caches themselves know. Those with the same name and driver are added up. */
function stateOf(caches: readonly Cache[]): MetricFamily[] {
  const gauge = (name: string, help: string, read: Read, aggregator?: MetricFamily['aggregator']) =>
    family('gauge', name, help, samplesOf(caches, read), aggregator)
  const near = (name: string, help: string, read: (stats: NearStats) => number, isMin = false) =>
    gauge(`near_${name}`, help, ({ near }) => near && read(near.stats), isMin ? 'min' : 'sum')
  const reports = (read: (report: AuditReport) => number) =>
    samplesOf(caches, ({ audit }) => audit && read(audit.report()))
  const audit = (name: string, help: string, read: (report: AuditReport) => number) =>
    counter(`audit_${name}_total`, help, reports(read))
  const inconsistent = auditWindows.flatMap((window) =>
    reports(({ inconsistent }) => inconsistent[window]).map((sample) => ({
      ...sample,
      labels: { ...sample.labels, window },
    })),
  )
  const longer = 'Hits that differed for longer than the window.'
  return [
    gauge(
      'cache_entries',
      'Entries in the memory of the process.',
      (cache) => storeUsage(cache)?.entries,
    ),
    gauge(
      'cache_bytes',
      'Size of the entries in the memory of the process.',
      (cache) => storeUsage(cache)?.bytes,
    ),
    near('entries', 'Entries of a near cache.', ({ entries }) => entries),
    near('bytes', 'Size of a near cache.', ({ bytes }) => bytes),
    near('serving', 'Whether a near cache serves entries.', ({ serving }) => +serving, true),
    audit('sampled', 'Hits compared with the source.', ({ sampled }) => sampled),
    audit('differing', 'Hits that differed from the source.', ({ differing }) => differing),
    audit('stale', 'Hits that differed within the chosen staleness.', ({ stale }) => stale),
    counter('audit_inconsistent_total', longer, inconsistent),
  ].map(mergeSamples)
}

type Read = (cache: Cache) => number | undefined

function samplesOf(caches: readonly Cache[], read: Read): Sample[] {
  return caches.flatMap((cache) => {
    const value = read(cache)
    const labels = { cache: cache.name, driver: cache.driver }
    return value === undefined ? [] : [{ suffix: '', labels, value }]
  })
}
