import type { Found } from '../freshness/entry-reader.ts'
import {
  type CallerLimits,
  hasLimits,
  type LimitedCaller,
  withLimits,
} from '../loading/limited-caller.ts'
import type { LoadContext } from '../loading/load-context.ts'
import {
  LoadOptions,
  type RememberDefaults,
  type RememberOptions,
} from '../loading/remember-options.ts'
import type { Flight } from '../loading/single-flight.ts'
import { checkKeys, checkLoader, checkTags } from '../options/check-arguments.ts'
import { mergeOptions } from '../options/check-options.ts'
import { type Awaitable, strongRead } from '../store.ts'
import { milliseconds } from '../time/duration.ts'
import type { ObservedCall } from '../tracing/observed-call.ts'
import { auditHit, refreshInBackground } from './background.ts'
import type { Call, LoadJob, RememberingCache } from './load-job.ts'
import { join, joinOrLead, lead, throwIfInBackoff } from './remember.ts'
import { type LoadMany, RememberManyCall } from './remember-many.ts'

type Load<T> = (context: LoadContext<T>) => Awaitable<T>

/** The arguments of a call of `remember`. */
interface Arguments<T> {
  readonly storageKey: string
  /** The key that the application passed. */
  readonly key: string
  readonly options: RememberOptions<T>
  readonly load: Load<T>
  readonly caller: LimitedCaller | undefined
  readonly observed: ObservedCall | undefined
}

export interface RememberCallsConfig {
  readonly cache: RememberingCache
  /** The options of calls that do not have them. */
  readonly defaults: RememberDefaults | undefined
  /** The ttl of calls without one, in milliseconds. */
  readonly ttl: number | undefined
}

/** The calls of `remember` and `rememberMany` of a cache. */
export class RememberCalls {
  readonly #cache: RememberingCache
  readonly #defaults: RememberDefaults | undefined
  readonly #ttl: number | undefined

  constructor(config: RememberCallsConfig) {
    this.#cache = config.cache
    this.#defaults = config.defaults
    this.#ttl = config.ttl
  }

  /**
   * Begins with a read, unless a load is in flight. A hit does as little as possible, and begins no flight.
   *
   * @param caller set if the caller waits for a limited time
   * @param observed set if somebody subscribes to calls
   */
  remember<T>(
    key: string,
    options: RememberOptions<T>,
    load: Load<T>,
    caller?: LimitedCaller,
    observed?: ObservedCall,
  ): Promise<T> {
    // A call with limits settles when its caller stops waiting.
    const settling = caller === undefined ? observed : undefined
    // Not an async function: its state would be most of what a hit in memory allocates.
    try {
      checkLoader('remember', load)
      if (caller === undefined) {
        const limits = this.#limitsOf(options)
        if (hasLimits(limits)) {
          return settled(this.#rememberLimited(key, options, load, limits, observed), observed)
        }
      }
      const storageKey = this.#cache.keyspace.toStorageKey(key)
      const args = { storageKey, key, options, load, caller, observed }
      const existing = this.#cache.flights.find(storageKey)
      const leads =
        options.refresh === true || (existing === undefined && this.#loadsWithoutLease(options))
      // The read of a flight may be older than this call, which therefore reads itself.
      if (leads || (existing !== undefined && !existing.isReading)) {
        const call = this.#call(args)
        const result = leads ? this.#leadBeforeRead(call) : join(existing as Flight, call)
        return settled(result, settling)
      }
      const reading = this.#cache.reader.read(storageKey, options.tags)
      return reading instanceof Promise || reading.staleMs >= 0
        ? this.#rememberRead(reading, args)
        : Promise.resolve(this.#hit(reading, args))
    } catch (error) {
      return settled(Promise.reject(error), settling)
    }
  }

  /** Returns what was read, unless it has to be loaded. */
  async #rememberRead<T>(reading: Awaitable<Found>, args: Arguments<T>): Promise<T> {
    const { caller, observed } = args
    const settling = caller === undefined ? observed : undefined
    try {
      let found: Found | undefined
      try {
        found = reading instanceof Promise ? await reading : reading
      } catch {
        // The flight meets it again, and loads without a claim: see `unclaimedAfter`.
      }
      if (found !== undefined && this.#isServed(found, args)) return this.#hit(found, args)
      const call = this.#call(args)
      if (found?.mark?.kind === 'failure') await throwIfInBackoff(call.job, found.mark)
      // If the flight that was there has ended, a write may have followed this read.
      const isOutdated =
        this.#loadsWithoutLease(args.options) &&
        this.#cache.flights.find(args.storageKey) === undefined
      const value = await (isOutdated
        ? this.#leadBeforeRead(call)
        : joinOrLead(call, () => reading))
      settling?.succeed()
      return value
    } catch (error) {
      settling?.fail(error)
      throw error
    }
  }

  /** Publishes a hit. Returns the value. */
  #hit<T>(found: Found, args: Arguments<T>): T {
    const { entries, audit } = this.#cache
    const { storageKey, caller, observed } = args
    if (found.staleMs >= 0) entries.publishStale(storageKey)
    if (caller?.isAnswered !== true) observed?.noteFound(found)
    if (caller === undefined) observed?.succeed()
    if (audit?.isSampled()) auditHit(audit, this.#loadJob(args), found)
    return entries.serve<T>(storageKey, found.entry) as T
  }

  /** The same for a caller that waits for a limited time. */
  #rememberLimited<T>(
    key: string,
    options: RememberOptions<T>,
    load: Load<T>,
    limits: CallerLimits,
    observed: ObservedCall | undefined,
  ): Promise<T> {
    const { entries, keyspace } = this.#cache
    const call = { entries, storageKey: keyspace.toStorageKey(key), observed }
    const run = (caller: LimitedCaller) => this.remember(key, options, load, caller, observed)
    return withLimits(limits, call, run)
  }

  /** @param observed set if somebody subscribes to calls */
  async rememberMany<T>(
    keys: readonly string[],
    options: RememberOptions<T>,
    load: LoadMany<T>,
    observed?: ObservedCall,
  ): Promise<(T | undefined)[]> {
    checkKeys('rememberMany', keys)
    checkLoader('rememberMany', load)
    const call = new RememberManyCall(this.#cache, this.#loadOptions(options), load, observed)
    return call.run(keys, this.#limitsOf(options))
  }

  /** Whether only this process notices that a key is written during its load. */
  #loadsWithoutLease<T>(options: RememberOptions<T>): boolean {
    const lease = options.lease ?? this.#defaults?.lease
    return lease === false && this.#cache.entries.store.processLocal !== true
  }

  /**
   * Begins a flight before the read: later calls join a forced refresh, and without a lease only a flight notices that
   * this process writes the key meanwhile.
   */
  #leadBeforeRead<T>(call: Call<T>): Promise<T> {
    const { storageKey, options, cache } = call.job
    // What a refresh has read is replaced by compare-and-set, so it must not come from a near cache.
    const readOptions = options.refresh ? strongRead : undefined
    const read = () => this.#cache.reader.read(storageKey, options.tags, readOptions)
    return lead(cache.flights.begin(storageKey), call, read)
  }

  /** Whether a stale value is returned at once. Then it is refreshed, for all callers that have read it. */
  #isServed<T>({ entry, staleMs }: Found, args: Arguments<T>): boolean {
    if (staleMs < 0) return true
    const window = args.options.staleWhileRevalidate ?? this.#defaults?.staleWhileRevalidate
    if (entry === undefined || window === undefined || staleMs >= milliseconds(window)) return false
    // Asked here as well, so that a stale hit during a refresh creates no job.
    if (this.#cache.flights.findRefresh(args.storageKey) === undefined) {
      refreshInBackground(this.#loadJob(args))
    }
    return true
  }

  #call<T>(args: Arguments<T>): Call<T> {
    const { caller, observed } = args
    return { job: this.#loadJob(args), caller, observed, attempt: 0 }
  }

  #loadJob<T>({ storageKey, key, options, load }: Arguments<T>): LoadJob<T> {
    return { cache: this.#cache, storageKey, key, options: this.#loadOptions(options), load }
  }

  #limitsOf<T>({ timeout, signal }: RememberOptions<T>): CallerLimits {
    return { timeout: timeout ?? this.#defaults?.timeout, signal }
  }

  #loadOptions<T>(options: RememberOptions<T>): LoadOptions<T> {
    const defaults = this.#defaults
    const merged = defaults === undefined ? options : mergeOptions(defaults, options)
    const loadOptions = new LoadOptions<T>(merged, this.#ttl, this.#cache.clock)
    checkTags(loadOptions.tags)
    return loadOptions
  }
}

/** Settles the call, if it is observed, like the promise. */
function settled<T>(result: Promise<T>, observed: ObservedCall | undefined): Promise<T> {
  return observed === undefined ? result : observed.settleWith(result)
}
