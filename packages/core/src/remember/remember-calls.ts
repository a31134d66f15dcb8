import type { EntryReader } from '../freshness/entry-reader.ts'
import type { Keyspace } from '../keys.ts'
import { type Caller, hasLimits, withLimits } from '../loading/caller.ts'
import { type Flight, noResult } from '../loading/flight.ts'
import type { LoadContext } from '../loading/load-context.ts'
import {
  LoadOptions,
  type RememberDefaults,
  type RememberOptions,
} from '../loading/remember-options.ts'
import type { Awaitable } from '../store.ts'
import type { Call, LoadJob, LoadScope } from './load-job.ts'
import { joinFlight, leadFlight, loadWithoutStore, readOrJoin } from './remember.ts'
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
    const timeout = options.timeout ?? this.#defaults?.timeout
    const limits = { timeout, signal: options.signal }
    if (!hasLimits(limits)) return this.#remember(key, options, load)
    const at = { store: this.#scope.entries.store.name, key }
    return withLimits(limits, at, (caller) => this.#remember(key, options, load, caller))
  }

  async rememberMany<T>(
    keys: readonly string[],
    options: RememberOptions<T>,
    load: LoadMany<T>,
  ): Promise<(T | undefined)[]> {
    const call = new RememberManyCall(this.#scope, this.#reader, this.#loadOptions(options), load)
    const jobKeys = keys.map((key) => this.#jobKeys(this.#keyspace.toStorageKey(key), key))
    return call.run(jobKeys, { ...this.#defaults, ...options })
  }

  /** Begins with the read, or with the flight of another caller. A hit does as little as possible. */
  async #remember<T>(
    key: string,
    options: RememberOptions<T>,
    load: Load<T>,
    caller?: Caller,
  ): Promise<T> {
    const storageKey = this.#keyspace.toStorageKey(key)
    const existing = this.#scope.flights.find(storageKey)
    if (existing !== undefined && options.refresh !== true) {
      const call = this.#call(storageKey, key, options, load, caller)
      return existing.isReading ? readOrJoin(existing, call) : joinFlight(existing, call)
    }
    if (options.refresh === true || options.tags || this.#reader.hasKnownTags(storageKey)) {
      return this.#rememberTagged(storageKey, key, options, load, caller)
    }
    let flight: Flight | undefined
    let found: unknown
    try {
      found = this.#scope.entries.store.get(storageKey)
      if (found instanceof Promise) {
        // Begins before the reply to the read, so that a write in between is noticed.
        flight = this.#scope.flights.begin(storageKey)
        found = await found
      }
    } catch (error) {
      flight ??= this.#scope.flights.begin(storageKey)
      const call = this.#callOf(flight, key, options, load, caller)
      return loadWithoutStore(flight, call, error)
    }
    const entry = this.#scope.entries.decode(storageKey, found)
    if (entry !== undefined && this.#reader.isFreshNow(entry)) {
      if (flight !== undefined)
        this.#scope.flights.end(flight, { item: found, source: 'read', audience: 'beforeRead' })
      return this.#scope.entries.publishRead<T>(storageKey, entry) as T
    }
    flight ??= this.#scope.flights.begin(storageKey)
    return leadFlight(flight, this.#callOf(flight, key, options, load, caller), () =>
      this.#reader.examine(storageKey, found),
    )
  }

  /** Reads the versions of the tags in the same turn as the entry. */
  async #rememberTagged<T>(
    storageKey: string,
    key: string,
    options: RememberOptions<T>,
    load: Load<T>,
    caller?: Caller,
  ): Promise<T> {
    const tags = Array.isArray(options.tags) ? options.tags : []
    const flight = this.#scope.flights.begin(storageKey)
    const reading = this.#reader.read(storageKey, tags)
    if (options.refresh !== true) {
      const found = await reading.catch(() => undefined)
      if (found?.entry !== undefined && found.staleMs < 0) {
        this.#scope.flights.end(flight, {
          item: found.item,
          source: 'read',
          audience: 'beforeRead',
        })
        return this.#scope.entries.publishRead<T>(storageKey, found.entry) as T
      }
    }
    const call = this.#callOf(flight, key, options, load, caller)
    return leadFlight(flight, call, () => reading)
  }

  /** Ends the flight if the options are invalid. */
  #callOf<T>(
    flight: Flight,
    key: string,
    options: RememberOptions<T>,
    load: Load<T>,
    caller: Caller | undefined,
  ): Call<T> {
    try {
      return this.#call(flight.key, key, options, load, caller)
    } catch (error) {
      this.#scope.flights.end(flight, noResult)
      throw error
    }
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
    return {
      ...this.#jobKeys(key, name),
      scope: this.#scope,
      options: this.#loadOptions(options),
      load,
    }
  }

  #jobKeys(key: string, name: string): JobKeys {
    return { key, name, refreshKey: this.#refreshKey(name) }
  }

  #loadOptions<T>(options: RememberOptions<T>): LoadOptions<T> {
    const defaults = this.#defaults
    const merged = defaults === undefined ? options : { ...defaults, ...options }
    return new LoadOptions<T>(merged, this.#ttl, this.#scope.clock)
  }
}
