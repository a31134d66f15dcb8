import {
  type BreakerEvent,
  type Cache,
  CacheError,
  type CacheEvent,
  type CallEvent,
  type ErrorEvent,
  type EvictionEvent,
  type InvalidationEvent,
  type LeaseWaitEvent,
  type LoadCallEvent,
  type LockEvent,
  type NearEvent,
  type ReplicaEvent,
  type RequestEvent,
  type TopologyEvent,
} from '@stowage/core'
import { checkInteger, checkOptionNames } from '@stowage/core/driver'
import { CacheCounts } from './cache-counts.ts'
import { Count, durationBounds, Histogram, keyBounds } from './metric-values.ts'
import { Series } from './series.ts'
import { Subscriptions } from './subscriptions.ts'

export interface CollectorOptions {
  /**
   * Returns the group of a key, as a label of `stowage_cache_requests_total`: a part of the key with few values, such as
   * `(key) => key.split(':')[0]`. A call of several groups is counted as `mixed`. A key itself is never a label.
   */
  readonly group?: ((key: string) => string) | undefined
  /** The maximum number of series of each metric. Further ones are counted together, with labels `other`. @default 500 */
  readonly maxSeries?: number | undefined
  /**
   * Returns the caches whose memory, near caches and audits are read together with the metrics:
   * `() => [caches.use('cache')]`.
   */
  readonly caches?: (() => Iterable<Cache>) | undefined
}

/** What the calls of a cache change. */
interface CallsOfCache {
  readonly cache: string
  readonly store: string
  readonly group: string | undefined
  readonly counts: CacheCounts
  readonly durations: Map<string, Histogram>
}

const optionNames = { group: true, maxSeries: true, caches: true } as const
const breakerStates = { closed: 0, 'half-open': 1, open: 2 }

/**
 * Counts what the caches, sessions and drivers of this process publish, from now on until `stop()`. An event changes a
 * few numbers; everything else happens when they are read.
 *
 * @example
 * const collector = new Collector()
 * await cache.get('missing')
 * console.log(collector.totalOf('cache').miss) // 1
 * collector.stop()
 */
export class Collector {
  readonly #subscriptions = new Subscriptions()
  readonly #group: ((key: string) => string) | undefined
  readonly #caches: () => Iterable<Cache>
  readonly #max: number
  #last: CallsOfCache | undefined
  readonly requests: Series<CacheCounts>
  readonly errors: Series<Count>
  readonly durations: Series<Histogram>
  readonly loads: Series<Count>
  readonly loadDurations: Series<Histogram>
  readonly loadsInFlight: Series<Count>
  readonly leaseWaits: Series<Histogram>
  readonly lockWaits: Series<Histogram>
  readonly evictions: Series<Count>
  readonly invalidations: Series<Count>
  readonly nearResets: Series<Count>
  readonly batchKeys: Series<Histogram>
  readonly requestDurations: Series<Histogram>
  readonly breakers: Series<Count>
  readonly topologyChanges: Series<Count>
  readonly replicaLinks: Series<Count>
  readonly replicaLags: Series<Count>
  readonly sessions: Series<Count>
  readonly sessionChanges: Series<Count>
  readonly httpResponses: Series<Count>
  readonly httpErrors: Series<Count>

  /** @throws CacheError `ERR_CACHE_CONFIG`, or a TypeError, for invalid options */
  constructor(options: CollectorOptions = {}) {
    checkOptionNames('Collector', options, optionNames)
    const { group, maxSeries = 500, caches = () => [] } = options
    checkInteger('Collector: maxSeries', maxSeries, 1)
    if (typeof caches !== 'function')
      throw new TypeError(
        "Collector: caches must be a function that returns the caches: () => [caches.use('cache')].",
      )
    this.#group = group
    this.#max = maxSeries
    this.#caches = caches
    const cache = ['cache', 'driver']
    this.requests = this.#series(group ? [...cache, 'group'] : cache, () => new CacheCounts())
    this.errors = this.#counts([...cache, 'operation', 'code'])
    this.durations = this.#times([...cache, 'operation'])
    this.loads = this.#counts([...cache, 'outcome'])
    this.loadDurations = this.#times(cache)
    this.loadsInFlight = this.#counts(cache)
    this.leaseWaits = this.#times(cache)
    this.lockWaits = this.#times([...cache, 'outcome'])
    this.evictions = this.#counts(['driver'])
    this.invalidations = this.#counts([...cache, 'reason'])
    this.nearResets = this.#counts(cache)
    this.batchKeys = this.#series(['driver'], () => new Histogram(keyBounds))
    this.requestDurations = this.#times(['driver', 'operation'])
    this.breakers = this.#counts(['driver'])
    this.topologyChanges = this.#counts(['driver', 'change'])
    this.replicaLinks = this.#counts(['driver', 'server'])
    this.replicaLags = this.#counts(['driver', 'server'])
    this.sessions = this.#counts(['cache', 'event', 'reason'])
    this.sessionChanges = this.#counts(['cache', 'event'])
    this.httpResponses = this.#counts(['cache', 'outcome'])
    this.httpErrors = this.#counts(['cache'])
    this.#subscribe()
  }

  /** The counts of a cache, of all its groups together. */
  totalOf(cache: string): CacheCounts {
    const total = new CacheCounts()
    for (const [labels, counts] of this.requests) {
      if (labels.cache !== cache) continue
      for (const field of Object.keys(total) as (keyof CacheCounts & string)[])
        if (field !== 'add') total[field] += counts[field]
    }
    return total
  }

  /** The caches of the option `caches`. */
  get caches(): Cache[] {
    return [...this.#caches()]
  }

  /** Ends the subscriptions. The numbers remain. */
  stop(): void {
    this.#subscriptions.end()
  }

  /** The same as `stop()`. */
  [Symbol.dispose](): void {
    this.stop()
  }

  #series<V>(labels: readonly string[], create: () => V): Series<V> {
    return new Series(labels, create, this.#max)
  }

  #counts(labels: readonly string[]): Series<Count> {
    return this.#series(labels, () => new Count())
  }

  #times(labels: readonly string[]): Series<Histogram> {
    return this.#series(labels, () => new Histogram(durationBounds))
  }

  #subscribe(): void {
    const on = this.#subscriptions
    on.add<CallEvent>('tracing:stowage:cache:asyncEnd', (call) => this.#onCall(call))
    on.add<LoadCallEvent>('tracing:stowage:load:start', ({ cache, store }) => {
      this.loadsInFlight.of(cache, store).value++
    })
    on.add<LoadCallEvent>('tracing:stowage:load:asyncEnd', (load) => this.#onLoad(load))
    on.add<RequestEvent>('tracing:stowage:store:asyncEnd', (request) => this.#onRequest(request))
    on.add<ErrorEvent>('stowage:error', (event) => this.#onError(event))
    on.add<LeaseWaitEvent>('stowage:wait', ({ cache, store, durationMs }) => {
      this.leaseWaits.of(cache, store).observe(durationMs / 1_000)
    })
    on.add<LockEvent>('stowage:lock', ({ cache, store, outcome, durationMs }) => {
      if (outcome !== 'acquired' && outcome !== 'refused') return
      this.lockWaits.of(cache, store, outcome).observe(durationMs / 1_000)
    })
    on.add<EvictionEvent>('stowage:eviction', ({ store }) => {
      this.evictions.of(store).value++
    })
    on.add<InvalidationEvent>('stowage:invalidation', ({ cache, store, reason, tags }) => {
      this.invalidations.of(cache, store, reason).value += reason === 'tags' ? tags : 1
    })
    on.add<NearEvent>('stowage:near', ({ cache, store }) => {
      this.nearResets.of(cache, store).value++
    })
    on.add<BreakerEvent>('stowage:breaker', ({ store, state }) => {
      this.breakers.of(store).value = breakerStates[state]
    })
    on.add<TopologyEvent>('stowage:topology', (event) => this.#onTopology(event))
    on.add<ReplicaEvent>('stowage:replica', (event) => this.#onReplica(event))
    for (const event of ['dropped', 'merged', 'late']) {
      const name = `stowage:session:${event}`
      on.add<{ cache: string; reason?: string }>(name, ({ cache, reason = '' }) => {
        this.sessions.of(cache, event, reason).value++
      })
    }
    for (const event of ['created', 'destroyed']) {
      on.add<{ cache: string }>(`stowage:session:${event}`, ({ cache }) => {
        this.sessionChanges.of(cache, event).value++
      })
    }
    on.add<{ cache: string; outcome: string }>('stowage:http:response', ({ cache, outcome }) => {
      this.httpResponses.of(cache, outcome).value++
    })
    on.add<CacheEvent>('stowage:http:error', ({ cache }) => {
      this.httpErrors.of(cache).value++
    })
  }

  #onCall(call: CallEvent): void {
    const { cache, store, operation, durationMs } = call
    const of = this.#lastOf(call)
    of.counts.add(call)
    if (operation === 'ping') return
    let duration = of.durations.get(operation)
    if (duration === undefined) {
      duration = this.durations.of(cache, store, operation)
      of.durations.set(operation, duration)
    }
    duration.observe(durationMs / 1_000)
  }

  /** Most calls are for the same cache as the one before. */
  #lastOf({ cache, store, keys }: CallEvent): CallsOfCache {
    const group = this.#group === undefined ? undefined : groupOf(this.#group, keys)
    const last = this.#last
    if (last?.cache === cache && last.store === store && last.group === group) return last
    const counts =
      group === undefined ? this.requests.of(cache, store) : this.requests.of(cache, store, group)
    this.#last = { cache, store, group, counts, durations: new Map() }
    return this.#last
  }

  #onLoad({ cache, store, durationMs, error }: LoadCallEvent): void {
    const inFlight = this.loadsInFlight.of(cache, store)
    // A load that began before this object was created.
    if (inFlight.value > 0) inFlight.value--
    this.loads.of(cache, store, error === undefined ? 'ok' : 'error').value++
    this.loadDurations.of(cache, store).observe(durationMs / 1_000)
  }

  #onRequest({ store, operation, keyCount, durationMs }: RequestEvent): void {
    if (keyCount > 0) this.batchKeys.of(store).observe(keyCount)
    this.requestDurations.of(store, operation).observe(durationMs / 1_000)
  }

  #onTopology({ store, change, server }: TopologyEvent): void {
    this.topologyChanges.of(store, change).value++
    if (change !== 'removed') return
    this.replicaLinks.delete(store, server)
    this.replicaLags.delete(store, server)
  }

  #onReplica({ store, server, isLinked, lagBytes }: ReplicaEvent): void {
    this.replicaLinks.of(store, server).value = isLinked ? 1 : 0
    if (lagBytes === undefined) this.replicaLags.delete(store, server)
    else this.replicaLags.of(store, server).value = lagBytes
  }

  #onError({ cache, store, error, operation }: ErrorEvent): void {
    const known = CacheError.is(error) ? error : undefined
    const method = operation ?? known?.operation ?? 'unknown'
    this.errors.of(cache, store, method, known?.code ?? 'other').value++
  }
}

function groupOf(group: (key: string) => string, keys: readonly string[]): string {
  const [first, ...others] = keys
  if (first === undefined) return ''
  const label = String(group(first))
  return others.every((key) => String(group(key)) === label) ? label : 'mixed'
}
