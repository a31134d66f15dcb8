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
   * `(key) => key.split(':')[0]`. A call of several groups is counted as `mixed`, and a key
   * for which it throws as `error`. A key itself is never a label.
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
/** The labels of what a cache does. */
const ofCache = ['cache', 'driver']
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
  /** Of all series. */
  readonly #limit = { max: 500 }
  #last: CallsOfCache | undefined
  readonly requests: Series<CacheCounts>
  readonly errors: Series<Count> = this.#counts([...ofCache, 'operation', 'code'])
  readonly durations: Series<Histogram> = this.#times([...ofCache, 'operation'])
  readonly loads: Series<Count> = this.#counts([...ofCache, 'outcome'])
  readonly loadDurations: Series<Histogram> = this.#times(ofCache)
  readonly loadsInFlight: Series<Count> = this.#counts(ofCache)
  readonly leaseWaits: Series<Histogram> = this.#times(ofCache)
  readonly lockWaits: Series<Histogram> = this.#times([...ofCache, 'outcome'])
  readonly evictions: Series<Count> = this.#counts(['driver'])
  readonly invalidations: Series<Count> = this.#counts([...ofCache, 'reason'])
  readonly nearResets: Series<Count> = this.#counts(ofCache)
  readonly batchKeys: Series<Histogram> = this.#times(['driver'], keyBounds)
  readonly requestDurations: Series<Histogram> = this.#times(['driver', 'operation'])
  readonly breakers: Series<Count> = this.#counts(['driver'])
  readonly topologyChanges: Series<Count> = this.#counts(['driver', 'change'])
  readonly replicaLinks: Series<Count> = this.#counts(['driver', 'server'])
  readonly replicaLags: Series<Count> = this.#counts(['driver', 'server'])
  readonly sessions: Series<Count> = this.#counts(['cache', 'event', 'reason'])
  readonly sessionChanges: Series<Count> = this.#counts(['cache', 'event'])
  readonly httpResponses: Series<Count> = this.#counts(['cache', 'outcome'])
  readonly httpErrors: Series<Count> = this.#counts(['cache'])

  /** @throws CacheError `ERR_CACHE_CONFIG`, or a TypeError, for invalid options */
  constructor(options: CollectorOptions = {}) {
    checkOptionNames('Collector', options, optionNames)
    const { group, maxSeries = this.#limit.max, caches = () => [] } = options
    checkInteger('Collector: maxSeries', maxSeries, 1)
    if (typeof caches !== 'function')
      throw new TypeError(
        "Collector: caches must be a function that returns the caches: () => [caches.use('cache')].",
      )
    this.#group = group
    this.#limit.max = maxSeries
    this.#caches = caches
    const labels = group ? [...ofCache, 'group'] : ofCache
    this.requests = new Series(labels, () => new CacheCounts(), this.#limit)
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

  #counts(labels: readonly string[]): Series<Count> {
    return new Series(labels, () => new Count(), this.#limit)
  }

  #times(labels: readonly string[], bounds: readonly number[] = durationBounds): Series<Histogram> {
    return new Series(labels, () => new Histogram(bounds), this.#limit)
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
  const label = labelOf(group, first)
  return others.every((key) => labelOf(group, key) === label) ? label : 'mixed'
}

/** What a subscriber throws would end the process, and a key may come from a visitor. */
function labelOf(group: (key: string) => string, key: string): string {
  try {
    return String(group(key))
  } catch {
    return 'error'
  }
}
