import type { EntryReader, Found } from '../freshness/entry-reader.ts'
import type { Keyspace } from '../keys.ts'
import { type Caller, type CallerLimits, hasLimits, withLimits } from '../loading/caller.ts'
import type { Flight } from '../loading/flight.ts'
import type { LoadContext } from '../loading/load-context.ts'
import {
  LoadOptions,
  type RememberDefaults,
  type RememberOptions,
} from '../loading/remember-options.ts'
import { checkKeys, checkLoader } from '../options/check-arguments.ts'
import { mergeOptions } from '../options/merge-options.ts'
import { type Awaitable, strongRead } from '../store.ts'
import { checkTags } from '../tags/check-tags.ts'
import { milliseconds } from '../time/duration.ts'
import type { Call, LoadJob, LoadScope } from './load-job.ts'
import { refreshInBackground } from './refresh.ts'
import {
  joinFlight,
  joinOrLead,
  joinOrLoad,
  leadFlight,
  loadWithoutStore,
  readOrJoin,
} from './remember.ts'
import { type JobKeys, type LoadMany, RememberManyCall } from './remember-many.ts'

type Load<T> = (context: LoadContext<T>) => Awaitable<T>

export interface RememberCallsConfig {
  readonly loadScope: LoadScope
  readonly reader: EntryReader
  readonly keyspace: Keyspace
  /** Returns the storage key of the lease to refresh the stale value of a key. */
  readonly refreshKey: (key: string) => string
  /** The options of calls that do not have them. */
  readonly defaults: RememberDefaults | undefined
  /** The ttl of calls without one, in milliseconds. */
  readonly ttl: number | undefined
}

/** The calls of `remember` and `rememberMany` of a cache. */
export class RememberCalls {
  readonly #scope: LoadScope
  readonly #reader: EntryReader
  readonly #keyspace: Keyspace
  readonly #refreshKey: (key: string) => string
  readonly #defaults: RememberDefaults | undefined
  readonly #ttl: number | undefined

  constructor(config: RememberCallsConfig) {
    this.#scope = config.loadScope
    this.#reader = config.reader
    this.#keyspace = config.keyspace
    this.#refreshKey = config.refreshKey
    this.#defaults = config.defaults
    this.#ttl = config.ttl
  }

  remember<T>(key: string, options: RememberOptions<T>, load: Load<T>): Promise<T> {
    if (typeof load !== 'function') return rejectLoader(load)
    const limits = this.#limitsOf(options)
    if (!hasLimits(limits)) return this.#remember(key, options, load)
    const at = { store: this.#scope.entries.store.name, key }
    return withLimits(limits, at, (caller) => this.#remember(key, options, load, caller))
  }

  async rememberMany<T>(
    keys: readonly string[],
    options: RememberOptions<T>,
    load: LoadMany<T>,
  ): Promise<(T | undefined)[]> {
    checkKeys('rememberMany', keys)
    checkLoader('rememberMany', load)
    const call = new RememberManyCall(this.#scope, this.#reader, this.#loadOptions(options), load)
    const jobKeys = keys.map((key) => this.#jobKeys(this.#keyspace.toStorageKey(key), key))
    return call.run(jobKeys, this.#limitsOf(options))
  }

  /** Begins with the read, or joins the load of another caller. A hit does as little as possible, and begins no flight. */
  async #remember<T>(
    key: string,
    options: RememberOptions<T>,
    load: Load<T>,
    caller?: Caller,
  ): Promise<T> {
    const storageKey = this.#keyspace.toStorageKey(key)
    const { entries, flights } = this.#scope
    const existing = flights.find(storageKey)
    if (options.refresh === true || (existing !== undefined && !existing.isReading)) {
      return this.#refreshOrJoin(existing, this.#call(storageKey, key, options, load, caller))
    }
    if (this.#loadsWithoutLease(options)) {
      return this.#readAsFlight(existing, this.#call(storageKey, key, options, load, caller))
    }
    let found: Found
    try {
      const reading = this.#reader.read(storageKey, options.tags)
      found = reading instanceof Promise ? await reading : reading
    } catch (error) {
      const call = this.#call(storageKey, key, options, load, caller)
      return joinOrLead(call, (flight) => loadWithoutStore(flight, call, error))
    }
    if (found.staleMs < 0 || this.#isServedStale(found, storageKey, key, options, load)) {
      return entries.publishRead<T>(storageKey, found.entry) as T
    }
    return joinOrLoad(this.#call(storageKey, key, options, load, caller), found)
  }

  /** Whether only this process notices that a key is written during its load. */
  #loadsWithoutLease<T>(options: RememberOptions<T>): boolean {
    const lease = options.lease ?? this.#defaults?.lease
    return lease === false && this.#scope.entries.store.processLocal !== true
  }

  /** Begins a flight before the read, so that it notices the writes of this process since then. */
  #readAsFlight<T>(existing: Flight | undefined, call: Call<T>): Promise<T> {
    if (existing !== undefined) return readOrJoin(existing, call)
    const { key, options, scope } = call.job
    return leadFlight(scope.flights.begin(key), call, () => this.#reader.read(key, options.tags))
  }

  #refreshOrJoin<T>(existing: Flight | undefined, call: Call<T>): Promise<T> {
    const { key, options, scope } = call.job
    if (existing !== undefined && !options.refresh) return joinFlight(existing, call)
    // Begins before the read, so that later calls join it.
    const flight = scope.flights.begin(key)
    // What it has read is replaced by compare-and-set, so it must not come from a near cache.
    return leadFlight(flight, call, () => this.#reader.read(key, options.tags, strongRead))
  }

  /** Whether a stale value is returned at once. Then it is refreshed, for all callers that have read it. */
  #isServedStale<T>(
    { entry, staleMs }: Found,
    storageKey: string,
    key: string,
    options: RememberOptions<T>,
    load: Load<T>,
  ): boolean {
    const window = options.staleWhileRevalidate ?? this.#defaults?.staleWhileRevalidate
    if (entry === undefined || window === undefined || staleMs >= milliseconds(window)) return false
    if (this.#scope.flights.findRefresh(storageKey) === undefined) {
      refreshInBackground(this.#loadJob(storageKey, key, options, load))
    }
    return true
  }

  #call<T>(
    storageKey: string,
    key: string,
    options: RememberOptions<T>,
    load: Load<T>,
    caller: Caller | undefined,
  ): Call<T> {
    return { job: this.#loadJob(storageKey, key, options, load), caller, attempt: 0 }
  }

  #loadJob<T>(key: string, name: string, options: RememberOptions<T>, load: Load<T>): LoadJob<T> {
    const refreshKey = this.#refreshKey(name)
    return { scope: this.#scope, key, name, refreshKey, options: this.#loadOptions(options), load }
  }

  #jobKeys(key: string, name: string): JobKeys {
    return { key, name, refreshKey: this.#refreshKey(name) }
  }

  #limitsOf<T>({ timeout, signal }: RememberOptions<T>): CallerLimits {
    return { timeout: timeout ?? this.#defaults?.timeout, signal }
  }

  #loadOptions<T>(options: RememberOptions<T>): LoadOptions<T> {
    const defaults = this.#defaults
    const merged = defaults === undefined ? options : mergeOptions(defaults, options)
    const loadOptions = new LoadOptions<T>(merged, this.#ttl, this.#scope.clock)
    checkTags(loadOptions.tags)
    return loadOptions
  }
}

async function rejectLoader(load: never): Promise<never> {
  checkLoader('remember', load)
  return load
}
