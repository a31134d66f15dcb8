import { checkOptionNames } from './configuration/check-options.ts'
import { CacheError } from './errors.ts'
import { Keyspace, namespacePrefix } from './keys.ts'
import { CacheScope } from './loading/cache-scope.ts'
import type { Flight } from './loading/flight.ts'
import { joinFlight, loadFlight, loadWithoutStore } from './loading/remember.ts'
import { conflict, retryOnConflict } from './loading/retry-on-conflict.ts'
import type { SingleFlight } from './loading/single-flight.ts'
import type { Awaitable, CacheStore, ReadOptions } from './store.ts'
import { type Clock, systemClock } from './time/clock.ts'
import { type Duration, defaultTtl, resolveTtl, type Ttl } from './time/duration.ts'
import type { Codec } from './values/codec.ts'
import { json } from './values/codecs/json.ts'
import { EntryCodec } from './values/entry-codec.ts'

const maxNamespaces = 1_000
const optionNames = {
  name: true,
  prefix: true,
  ttl: true,
  generations: true,
  codec: true,
  clock: true,
} as const
/** For a read before a compare-and-set: an outdated value would only cause conflicts. */
const strongRead: ReadOptions = { consistency: 'strong' }

export interface CacheOptions {
  /** Name of the cache in events. @default the store's name */
  readonly name?: string | undefined
  /**
   * Prepended to every key. `clear()` and `keys()` affect only keys with this prefix. End it with a separator: a
   * prefix of `user` also matches the keys of `user2`.
   * @default ''
   */
  readonly prefix?: string | undefined
  /** Default time to live of entries; `null` means they never expire. @default null */
  readonly ttl?: Duration | null | undefined
  /**
   * Whether `clear()` works for a prefix on a backend that cannot list its keys (memcached, DynamoDB without `scan`).
   * Storage keys then contain the id of a generation, which `clear()` replaces. `false` leaves the id out, so that other
   * programs can read the same keys, and makes `clear()` reject with `ERR_CACHE_UNSUPPORTED`. @default true
   */
  readonly generations?: boolean | undefined
  /** Converts values to bytes and back. Not used with a store that keeps entries by reference. @default json() */
  readonly codec?: Codec | undefined
  /** Source of the current time. @default systemClock */
  readonly clock?: Clock | undefined
}

export interface WriteOptions {
  /** Time to live of the entry. @default the cache's ttl */
  readonly ttl?: Ttl | undefined
}

/**
 * The cache that an application uses. It determines the key, the ttl and the encoding of a value; its store implements
 * the operations on a backend. A method rejects with a `CacheError` if the operation fails, and with a `TypeError` if
 * its arguments are invalid.
 *
 * @example
 * const products = new Cache(memory(), { prefix: 'products:', ttl: '10m' })
 * await products.set('1', { name: 'Lamp' })
 * console.log(await products.get('1'))
 * await products.close()
 */
export class Cache {
  /** Name of the cache in events. */
  readonly name: string
  readonly #options: CacheOptions
  readonly #store: CacheStore
  readonly #keyspace: Keyspace
  readonly #entries: EntryCodec
  readonly #ttl: number | undefined
  readonly #clock: Clock
  readonly #scope: CacheScope
  readonly #flights: SingleFlight
  readonly #namespaces = new Map<string, Cache>()

  constructor(store: CacheStore, options: CacheOptions = {}) {
    checkOptionNames('Cache', options, optionNames)
    const { prefix = '', ttl = null, codec = json(), clock = systemClock } = options
    const { generations = true } = options
    this.name = options.name ?? store.name
    this.#options = options
    this.#clock = clock
    this.#ttl = defaultTtl(ttl)
    // Without a list of the keys, a prefix is cleared by replacing the generation that its keys contain.
    const needsGenerations = generations && prefix !== '' && store.scan === undefined
    const scope = CacheScope.of(store)
    this.#scope = needsGenerations ? scope.within(prefix, clock) : scope
    this.#store = this.#scope.store
    this.#keyspace = new Keyspace(
      needsGenerations ? '' : prefix,
      this.#store.limits.keyBytes,
      prefix,
    )
    this.#entries = new EntryCodec(this.#store, codec, this.name, this.#scope.keyPrefix)
    this.#flights = this.#scope.flightsOf(codec)
  }

  /** Name of the driver of this cache. */
  get driver(): string {
    return this.#store.name
  }

  /** Default time to live of entries, in milliseconds; `undefined` means they never expire. */
  get ttl(): number | undefined {
    return this.#ttl
  }

  /** Whether values are stored by reference, so that mutating a returned value affects every caller. */
  get storesByReference(): boolean {
    return this.#store.payload === 'entry'
  }

  /**
   * Returns the value, or `undefined` for a miss. `null` is a value.
   *
   * @example
   * console.log(await cache.get<{ name: string }>('user:1'))
   * console.log(await cache.get('user:1', { consistency: 'strong' }))
   */
  async get<T = unknown>(key: string, options?: ReadOptions): Promise<T | undefined> {
    const storageKey = this.#keyspace.toStorageKey(key)
    const found = this.#entries.store.get(storageKey, options)
    // A synchronous result is not awaited: that would double the cost of a hit in memory.
    return this.#entries.decode<T>(storageKey, found instanceof Promise ? await found : found)
  }

  /**
   * Returns the values in the order of the keys, with `undefined` for each miss, in as few round trips as possible.
   *
   * @example
   * const [ada, grace] = await cache.getMany<string>(['name:1', 'name:2'])
   * console.log(ada, grace)
   */
  async getMany<T = unknown>(
    keys: readonly string[],
    options?: ReadOptions,
  ): Promise<(T | undefined)[]> {
    const storageKeys = keys.map((key) => this.#keyspace.toStorageKey(key))
    const items = await this.#entries.store.getMany(storageKeys, options)
    return storageKeys.map((key, index) => this.#entries.decode<T>(key, items[index]))
  }

  /** Returns whether a value exists. */
  async has(key: string, options?: ReadOptions): Promise<boolean> {
    return (await this.get(key, options)) !== undefined
  }

  /**
   * Stores the value, replacing any existing one. A ttl of zero or less, or a past date, deletes it instead.
   *
   * @example
   * await cache.set('user:1', { name: 'Ada' })
   * await cache.set('token:1', 'secret', { ttl: '15m' })
   */
  async set(key: string, value: unknown, options?: WriteOptions): Promise<void> {
    const storageKey = this.#storageKeyForWrite(key)
    const item = this.#entries.encode(storageKey, value)
    const ttl = this.#ttlOf(options)
    if (ttl === 0) {
      await this.#store.delete(storageKey)
      return
    }
    const done = this.#entries.store.set(storageKey, item, ttl)
    if (done instanceof Promise) await done
  }

  /**
   * Stores several values with one ttl, in as few round trips as possible.
   *
   * @example
   * await cache.setMany([['name:1', 'Ada'], ['name:2', 'Grace']], { ttl: '1h' })
   */
  async setMany(
    entries: Iterable<readonly [key: string, value: unknown]>,
    options?: WriteOptions,
  ): Promise<void> {
    const encoded = Array.from(entries, ([key, value]) => {
      const storageKey = this.#storageKeyForWrite(key)
      return [storageKey, this.#entries.encode(storageKey, value)] as const
    })
    const ttl = this.#ttlOf(options)
    if (ttl === 0) await this.#store.deleteMany(encoded.map(([key]) => key))
    else await this.#entries.store.setMany(encoded, ttl)
  }

  /**
   * Stores the value only if none exists, atomically. Returns whether it was stored. With a ttl of zero or less, it
   * never is.
   *
   * @example
   * const isFirst = await cache.add('welcome-mail:1', true, { ttl: '1d' })
   * if (isFirst) console.log('send the mail')
   */
  async add(key: string, value: unknown, options?: WriteOptions): Promise<boolean> {
    const storageKey = this.#storageKeyForWrite(key)
    const item = this.#entries.encode(storageKey, value)
    const ttl = this.#ttlOf(options)
    return ttl === 0 ? false : this.#entries.store.add(storageKey, item, ttl)
  }

  /** Stores the value only if one already exists. Returns whether it was stored. */
  async replace(key: string, value: unknown, options?: WriteOptions): Promise<boolean> {
    const storageKey = this.#keyspace.toStorageKey(key)
    const next = this.#entries.encode(storageKey, value)
    return this.#runExclusively('replace', storageKey, async () => {
      const seen = await this.#entries.store.get(storageKey, strongRead)
      if (this.#entries.decode(storageKey, seen) === undefined) return false
      return (await this.#replaceIfUnchanged(storageKey, seen, next, options)) ? true : conflict
    })
  }

  /**
   * Replaces the value by the result of `change`, which receives the current value (`undefined` if missing). A result
   * of `undefined` deletes the value. Returns the result. Concurrent writes are not lost: on a conflict, `change` is
   * called again with the newer value. It must therefore have no side effects. It must not call `update`, `replace` or
   * `pull` for the same key either: these run one after another, so that it would wait for itself.
   *
   * @throws CacheError `ERR_CACHE_REJECTED` (retryable) after 100 conflicts
   * @example
   * await cache.update<string[]>('recent', (recent = []) => ['lamp', ...recent].slice(0, 10))
   */
  async update<T>(
    key: string,
    change: (current: T | undefined) => Awaitable<T | undefined>,
    options?: WriteOptions,
  ): Promise<T | undefined> {
    const storageKey = this.#keyspace.toStorageKey(key)
    return this.#runExclusively('update', storageKey, async () => {
      const seen = await this.#entries.store.get(storageKey, strongRead)
      const next = await change(this.#entries.decode<T>(storageKey, seen))
      const item = next === undefined ? undefined : this.#entries.encode(storageKey, next)
      return (await this.#replaceIfUnchanged(storageKey, seen, item, options)) ? next : conflict
    })
  }

  /**
   * Returns the value and deletes it, atomically: of several concurrent calls, only one receives the value.
   *
   * @example
   * const message = await cache.pull<string>('flash:session-1')
   * if (message !== undefined) console.log(message)
   */
  async pull<T = unknown>(key: string): Promise<T | undefined> {
    const storageKey = this.#keyspace.toStorageKey(key)
    return this.#runExclusively('pull', storageKey, async () => {
      const seen = await this.#entries.store.get(storageKey, strongRead)
      const value = this.#entries.decode<T>(storageKey, seen)
      if (value === undefined) return undefined
      return (await this.#replaceIfUnchanged(storageKey, seen, undefined)) ? value : conflict
    })
  }

  /**
   * Returns the value. On a miss, calls `load` and stores its result. Concurrent calls for the same key in this process
   * share one load, and its failure. Each caller receives the value as a later hit would return it, decoded from the
   * stored item: one caller cannot modify the value of another. If the store fails, `load` is called nevertheless, and
   * the failure is published on `stowage:error`.
   *
   * The result is returned but not stored if it is `undefined`, or if the key was written or deleted in this process
   * during the call. If two loaders call `remember` for each other's key, one of the loads is executed twice, because
   * neither could wait for the other.
   *
   * @example
   * const loadUser = async (id: number) => ({ id, name: 'Ada' })
   * const user = await cache.remember('user:1', { ttl: '5m' }, () => loadUser(1))
   * console.log(user.name)
   */
  async remember<T>(key: string, options: WriteOptions, load: () => Awaitable<T>): Promise<T> {
    const storageKey = this.#keyspace.toStorageKey(key)
    const existing = this.#flights.find(storageKey)
    if (existing !== undefined) {
      return joinFlight(existing, this.#loadJob(storageKey, options, load))
    }
    let flight: Flight | undefined
    try {
      let found = this.#entries.store.get(storageKey)
      if (found instanceof Promise) {
        // Begins before the reply to the read, so that a write in between is noticed.
        flight = this.#flights.begin(storageKey)
        found = await found
      }
      const value = this.#entries.decode<T>(storageKey, found)
      if (value !== undefined) {
        if (flight !== undefined) this.#flights.end(flight, found)
        return value
      }
    } catch (error) {
      flight ??= this.#flights.begin(storageKey)
      return loadWithoutStore(flight, this.#loadJob(storageKey, options, load), error)
    }
    flight ??= this.#flights.begin(storageKey)
    return loadFlight(flight, this.#loadJob(storageKey, options, load))
  }

  /**
   * Adds `by` to a counter and returns the sum, atomically. A missing counter starts at 0. The ttl applies when the
   * counter is created; later calls do not change the expiry.
   *
   * @throws TypeError unless `by` is a safe integer
   * @throws CacheError `ERR_CACHE_UNSUPPORTED` if the codec does not support counters, as `encrypted()`
   * @example
   * console.log(await cache.increment('visits', 1, { ttl: '1d' }))
   */
  async increment(key: string, by = 1, options?: WriteOptions): Promise<number> {
    assertInteger(by)
    const ttl = this.#ttlOf(options)
    const storageKey = this.#storageKeyForWrite(key)
    this.#entries.assertCounters(storageKey)
    // An expired ttl still returns the sum: a missing counter is created and expires after 1 ms.
    return this.#store.increment(storageKey, by, ttl === 0 ? 1 : ttl)
  }

  /** Subtracts `by` from a counter, like `increment` with `-by`. Counters may become negative. */
  async decrement(key: string, by = 1, options?: WriteOptions): Promise<number> {
    assertInteger(by)
    return this.increment(key, -by, options)
  }

  /**
   * Sets a new expiry without reading or rewriting the value. Never creates a value. Returns whether it exists.
   *
   * @example
   * await cache.touch('user:1', { ttl: '1h' })
   */
  async touch(key: string, options?: WriteOptions): Promise<boolean> {
    const ttl = this.#ttlOf(options)
    const storageKey = ttl === 0 ? this.#storageKeyForWrite(key) : this.#keyspace.toStorageKey(key)
    return ttl === 0 ? this.#store.delete(storageKey) : this.#store.touch(storageKey, ttl)
  }

  /** Deletes the value. Returns whether it existed. */
  async delete(key: string): Promise<boolean> {
    return this.#store.delete(this.#storageKeyForWrite(key))
  }

  /** Deletes the values. Returns how many existed. */
  async deleteMany(keys: readonly string[]): Promise<number> {
    return this.#store.deleteMany(keys.map((key) => this.#storageKeyForWrite(key)))
  }

  /**
   * Deletes all entries with the prefix of this cache, or everything the store can reach if it has no prefix. On a
   * backend that cannot list its keys, other processes may still read the entries for up to one second.
   */
  async clear(): Promise<void> {
    const { prefix } = this.#keyspace
    this.#scope.invalidateAll(prefix)
    // A loaded value that is being stored could arrive after its key was looked for.
    await this.#scope.awaitWriteBacks(prefix)
    if (prefix === '') await this.#store.clear()
    else for await (const page of this.#scan(prefix)) await this.#store.deleteMany(page)
    // A flight that began meanwhile may have read what is cleared now.
    this.#scope.invalidateAll(prefix)
  }

  /**
   * Lists the keys of this cache. A key may be repeated, and a key that was shortened for the backend is listed in its
   * shortened form.
   *
   * @throws CacheError `ERR_CACHE_UNSUPPORTED` if the backend cannot list its keys
   * @example
   * for await (const key of cache.keys()) console.log(key)
   */
  async *keys(): AsyncGenerator<string, void, undefined> {
    const { prefix } = this.#keyspace
    for await (const page of this.#scan(prefix)) {
      for (const key of page) yield key.slice(prefix.length)
    }
  }

  /**
   * Returns a cache within this one. `namespace('users')` prefixes its keys with `users:` and shares the store, the
   * codec and the default ttl. Clearing it affects only the namespace; clearing this cache clears the namespace as
   * well. Do not use keys that begin with `users:` in this cache: depending on the backend, they may or may not be
   * those of the namespace.
   *
   * @example
   * const users = cache.namespace('users')
   * await users.set('1', { name: 'Ada' })
   * await users.clear()
   */
  namespace(name: string): Cache {
    const existing = this.#namespaces.get(name)
    if (existing !== undefined) return existing
    const prefix = this.#keyspace.prefix + namespacePrefix(name)
    const created = new Cache(this.#store, { ...this.#options, name: this.name, prefix })
    // Bounded for applications with a namespace per tenant. The state that caches of one name share is in their scope.
    if (this.#namespaces.size >= maxNamespaces) this.#namespaces.clear()
    this.#namespaces.set(name, created)
    return created
  }

  /**
   * Returns a short text that represents all writes of this process so far, for a cookie or a message to another
   * process: after {@link observe}, the `'session'` reads there include these writes. `''` if no replica lags behind.
   *
   * @example
   * const token = await cache.consistencyToken()
   * cache.observe(token) // in another process, with a cache on the same backend
   */
  async consistencyToken(): Promise<string> {
    return (await this.#store.consistencyToken?.()) ?? ''
  }

  /** Makes later `'session'` reads include the writes of a token from another process. Ignores invalid tokens. */
  observe(token: string): void {
    this.#store.observe?.(token)
  }

  /** Resolves if the backend replies now. */
  async ping(): Promise<void> {
    await this.#store.ping()
  }

  /** Closes the store, also for every other cache that shares it. Idempotent. */
  async close(): Promise<void> {
    await this.#scope.close()
  }

  /**
   * The same as `close()`.
   *
   * @example
   * await using products = new Cache(memory(), { prefix: 'products:' })
   * await products.set('1', { name: 'Lamp' })
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Returns the storage key for a write, and prevents a load in flight from overwriting the written value. */
  #storageKeyForWrite(key: string): string {
    const storageKey = this.#keyspace.toStorageKey(key)
    this.#scope.invalidate(storageKey)
    return storageKey
  }

  /**
   * Retries a read and a conditional write until no other write comes in between. Calls in this process for one key run
   * one after another, so that only other processes can conflict.
   */
  #runExclusively<T>(
    operation: string,
    key: string,
    attempt: () => Promise<T | typeof conflict>,
  ): Promise<T> {
    return this.#scope.updates.run(key, () =>
      retryOnConflict({ operation, key, store: this.#store.name }, this.#clock, attempt),
    )
  }

  #ttlOf(options: WriteOptions | undefined): number | undefined {
    const ttl = options?.ttl
    return ttl === undefined ? this.#ttl : resolveTtl(ttl, this.#clock)
  }

  /**
   * Replaces the item `seen` by `next` unless it has changed since; `undefined` means no item. Returns whether
   * the item was unchanged.
   */
  async #replaceIfUnchanged(
    key: string,
    seen: unknown,
    next: unknown,
    options?: WriteOptions,
  ): Promise<boolean> {
    const { store } = this.#entries
    this.#scope.invalidate(key)
    const ttl = this.#ttlOf(options)
    const replacement = ttl === 0 ? undefined : next
    if (seen !== undefined) return store.compareAndSet(key, seen, replacement, ttl)
    return replacement === undefined ? true : store.add(key, replacement, ttl)
  }

  #loadJob<T>(key: string, options: WriteOptions, load: () => Awaitable<T>) {
    const ttl = () => this.#ttlOf(options)
    return { entries: this.#entries, flights: this.#flights, key, ttl, load }
  }

  #scan(prefix: string): AsyncIterable<readonly string[]> {
    const pages = this.#store.scan?.(prefix)
    if (pages !== undefined) return pages
    throw new CacheError(
      'ERR_CACHE_UNSUPPORTED',
      `${this.#store.name} scan failed: the backend cannot list its keys. Use another driver, or store a list of keys.`,
      { store: this.#store.name, operation: 'scan' },
    )
  }
}

function assertInteger(by: number): void {
  if (!Number.isSafeInteger(by)) throw new TypeError(`Not a safe integer: ${String(by)}.`)
}
