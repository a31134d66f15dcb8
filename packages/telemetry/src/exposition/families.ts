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
    family('counter', 'cache_requests_total', 'Keys read, by what the caller received.', [
      ...requestSamples(of),
    ]),
    family('counter', 'cache_writes_total', 'Keys written by calls that succeeded.', [
      ...keySamples(of, 'writes'),
    ]),
    family('counter', 'cache_deletes_total', 'Keys deleted by calls that succeeded.', [
      ...keySamples(of, 'deletes'),
    ]),
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

function* requestSamples({ requests }: Collector): Generator<Sample> {
  for (const [labels, counts] of requests) {
    for (const result of results)
      yield { suffix: '', labels: { ...labels, result }, value: counts[result] }
  }
}

function keySamples({ requests }: Collector, field: 'writes' | 'deletes'): Sample[] {
  return Array.from(requests, ([labels, counts]) => ({ suffix: '', labels, value: counts[field] }))
}

function counts(name: string, help: string, series: Series<Count>): MetricFamily {
  return family('counter', name, help, countSamples(series))
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
  const ofEach = (read: (cache: Cache) => number | undefined) => samplesOf(caches, read)
  const near = (read: (stats: NearStats) => number) =>
    ofEach(({ near }) => near && read(near.stats))
  const audit = (read: (report: AuditReport) => number) =>
    ofEach(({ audit }) => audit && read(audit.report()))
  const entries = ofEach((cache) => storeUsage(cache)?.entries)
  const bytes = ofEach((cache) => storeUsage(cache)?.bytes)
  const inconsistent = auditWindows.flatMap((window) =>
    audit(({ inconsistent }) => inconsistent[window]).map((sample) =>
      withLabel(sample, { window }),
    ),
  )
  return [
    family('gauge', 'cache_entries', 'Entries in the memory of the process.', entries),
    family('gauge', 'cache_bytes', 'Size of the entries in the memory of the process.', bytes),
    family(
      'gauge',
      'near_entries',
      'Entries of a near cache.',
      near((stats) => stats.entries),
    ),
    family(
      'gauge',
      'near_bytes',
      'Size of a near cache.',
      near((stats) => stats.bytes),
    ),
    family(
      'gauge',
      'near_serving',
      'Whether a near cache serves entries.',
      near(({ serving }) => +serving),
      'min',
    ),
    family(
      'counter',
      'audit_sampled_total',
      'Hits compared with the source.',
      audit(({ sampled }) => sampled),
    ),
    family(
      'counter',
      'audit_differing_total',
      'Hits that differed from the source.',
      audit(({ differing }) => differing),
    ),
    family(
      'counter',
      'audit_stale_total',
      'Hits that differed within the chosen staleness.',
      audit(({ stale }) => stale),
    ),
    family(
      'counter',
      'audit_inconsistent_total',
      'Hits that differed for longer than the window.',
      inconsistent,
    ),
  ].map(mergeSamples)
}

function samplesOf(caches: readonly Cache[], read: (cache: Cache) => number | undefined): Sample[] {
  return caches.flatMap((cache) => {
    const value = read(cache)
    const labels = { cache: cache.name, driver: cache.driver }
    return value === undefined ? [] : [{ suffix: '', labels, value }]
  })
}

function withLabel(sample: Sample, label: Readonly<Record<string, string>>): Sample {
  return { ...sample, labels: { ...sample.labels, ...label } }
}
