import { type CacheOptions, type NamespaceOptions, optionNames } from './cache-options.ts'
import { atCaller, rethrowAtCaller } from './calls/at-caller.ts'
import { Collection } from './collections/collection.ts'
import type { CollectionDefinition } from './collections/collection-definition.ts'
import type { SchemaInput, SchemaOutput, StandardSchema } from './collections/standard-schema.ts'
import { WriteThrough } from './collections/write-through.ts'
import type { BackendReport, CheckOptions } from './diagnostics.ts'
import { recoveryOf } from './failover/store-recovery.ts'
import { EntryReader } from './freshness/entry-reader.ts'
import { inspectEntry } from './inspection/inspect-entry.ts'
import type { Inspection } from './inspection/inspection.ts'
import { Keyspace, namespacePrefix } from './keys.ts'
import type {
  ConcurrencyLimit,
  ConcurrencyOptions,
  RateLimiter,
  RateLimitOptions,
} from './limits/limit.ts'
import { LimitCalls } from './limits/limit-calls.ts'
import { runForFlight } from './loading/current-load.ts'
import type { LoadContext } from './loading/load-context.ts'
import type { RememberOptions } from './loading/remember-options.ts'
import type { Lock, LockOptions } from './locks/lock.ts'
import { LockCalls } from './locks/lock-calls.ts'
import type { NearStats } from './near/near-cache.ts'
import {
  checkCodec,
  checkEntries,
  checkFunction,
  checkKeys,
  checkPrefix,
  checkReadOptions,
  checkStore,
  checkWriteOptions,
} from './options/check-arguments.ts'
import { checkOptionNames } from './options/check-options.ts'
import { mergeOptions } from './options/merge-options.ts'
import { RememberCalls } from './remember/remember-calls.ts'
import type { LoadMany } from './remember/remember-many.ts'
import { type WrapOptions, type Wrapped, wrapFunction } from './remember/wrap.ts'
import { CacheRoot } from './scope/cache-root.ts'
import { CacheScope } from './scope/cache-scope.ts'
import { createNear } from './scope/create-near.ts'
import { listKeys } from './scope/list-keys.ts'
import type { Awaitable, CacheStore, ReadOptions, StoreLimits } from './store.ts'
import { checkTags } from './tags/check-tags.ts'
import { type Clock, systemClock } from './time/clock.ts'
import { type Duration, defaultTtl, resolveTtl } from './time/duration.ts'
import { EntrySnapshot, type Snapshot, type SnapshotWriter } from './updates/entry-snapshot.ts'
import { EntryUpdates } from './updates/entry-updates.ts'
import { TaggedWrites } from './updates/tagged-writes.ts'
import type { TtlOptions, WriteOptions } from './updates/write-options.ts'
import type { Codec } from './values/codec.ts'
import { json } from './values/codecs/json.ts'
import { type AnyStore, EntryCodec } from './values/entry-codec.ts'
import { OrderedStore } from './wrappers/ordered-store.ts'

const maxNamespaces = 1_000

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
  /** The store without the generation of this cache. */
  readonly #outerStore: CacheStore
  readonly #store: CacheStore
  readonly #keyspace: Keyspace
  readonly #entries: EntryCodec
  readonly #ttl: number | undefined
  readonly #clock: Clock
  readonly #scope: CacheScope
  readonly #root: CacheRoot
  /** The prefix within the root cache. */
  readonly #path: string
  readonly #reader: EntryReader
  readonly #updates: EntryUpdates
  readonly #taggedWrites: TaggedWrites
  // Created on the first use: an application may have thousands of namespaces.
  #rememberCalls: RememberCalls | undefined
  #sharedReader: EntryReader | undefined
  #snapshotWriter: SnapshotWriter | undefined
  #lockCalls: LockCalls | undefined
  #limitCalls: LimitCalls | undefined
  readonly #namespaces = new Map<string, Cache>()

  constructor(store: CacheStore, options?: CacheOptions)
  /** @internal */
  constructor(store: CacheStore, options: CacheOptions, parent: CacheParent)
  constructor(store: CacheStore, options: CacheOptions = {}, parent?: CacheParent) {
    checkStore(store)
    checkOptionNames('Cache', options, optionNames)
    const { prefix = '', ttl = null, codec = json(), clock = systemClock } = options
    const { generations = true } = options
    checkPrefix(prefix)
    checkCodec(codec)
    this.name = options.name ?? store.name
    this.#options = options
    this.#outerStore = store
    this.#clock = clock
    this.#ttl = defaultTtl(ttl)
    // Without a list of the keys, a prefix is cleared by replacing the generation that its keys contain.
    const needsGenerations = generations && prefix !== '' && store.scan === undefined
    const storeScope = CacheScope.of(store)
    const scope = needsGenerations ? storeScope.within(prefix, clock) : storeScope
    this.#scope = scope
    const { keyBytes } = scope.store.limits
    this.#keyspace = new Keyspace(needsGenerations ? '' : prefix, keyBytes, prefix)
    const near =
      parent === undefined ? createNear(store, options.near, this.name, clock) : undefined
    const root = parent?.root ?? new CacheRoot(store, prefix, clock, near)
    this.#root = root
    const ordered = new OrderedStore(root.behindNear(scope, codec), scope.order)
    this.#store = ordered as unknown as CacheStore
    const entries = new EntryCodec(ordered, root.codecFor(codec), this.name, scope.keyPrefix)
    this.#entries = entries
    this.#path = parent?.path ?? ''
    const reader = new EntryReader(entries, root, scope.knownTags)
    this.#reader = reader
    let unordered: EntryReader | undefined
    const unorderedReader = (inner: AnyStore) => {
      unordered ??= new EntryReader(entries.over(inner), root, scope.knownTags)
      return unordered
    }
    const { time } = root
    const updates = { store: ordered, entries, reader, unorderedReader, scope, time, clock }
    this.#updates = new EntryUpdates(updates)
    this.#taggedWrites = new TaggedWrites({ store: ordered, entries, scope, tags: root.tags })
    if (parent !== undefined) return
    const recovery = recoveryOf(store)
    recovery?.onOverflow(prefix, () => this.clear())
    if (near !== undefined) recovery?.onSettled((keys) => near.onSettled(keys))
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

  /** Source of the current time. */
  get clock(): Clock {
    return this.#clock
  }

  /** The near cache, if there is one. */
  get near(): { readonly stats: NearStats } | undefined {
    return this.#root.near
  }

  /** The limits of the store. */
  get limits(): StoreLimits {
    return this.#store.limits
  }

  /**
   * Returns the value, or `undefined` for a miss. `null` is a value. A value that is stale is a miss: only `remember`
   * returns it.
   *
   * @example
   * console.log(await cache.get<{ name: string }>('user:1'))
   * console.log(await cache.get('user:1', { consistency: 'strong' }))
   */
  async get<T = unknown>(key: string, options?: ReadOptions): Promise<T | undefined> {
    if (options !== undefined) checkReadOptions(options)
    const storageKey = this.#keyspace.toStorageKey(key)
    try {
      const reading = this.#reader.read(storageKey, undefined, options)
      const found = reading instanceof Promise ? await reading : reading
      return this.#reader.publishFresh<T>(storageKey, found)
    } catch (error) {
      return rethrowAtCaller(error, storageKey)
    }
  }

  /**
   * Returns the value like `get`, without a copy: its bytes may be those of the store, and must not be modified.
   * Returns the value itself instead of a promise if the store replies at once. For libraries that pass bytes on.
   *
   * @example
   * const page = await cache.getShared<Buffer>('page:home')
   * console.log(page?.byteLength)
   */
  getShared<T = unknown>(key: string, options?: ReadOptions): Awaitable<T | undefined> {
    const storageKey = this.#keyspace.toStorageKey(key)
    const reader = this.#uncopied
    const found = atCaller(reader.read(storageKey, undefined, options), storageKey)
    return found instanceof Promise
      ? found.then((each) => reader.publishFresh<T>(storageKey, each))
      : reader.publishFresh<T>(storageKey, found)
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
    checkKeys('getMany', keys)
    if (options !== undefined) checkReadOptions(options)
    const storageKeys = keys.map((key) => this.#keyspace.toStorageKey(key))
    const items = await atCaller(this.#entries.store.getMany(storageKeys, options))
    const entries = await this.#reader.freshEntries(storageKeys, items, options)
    return storageKeys.map((key, index) => this.#entries.publishRead<T>(key, entries[index]))
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
  set(key: string, value: unknown, options?: WriteOptions): Promise<void> {
    // Not an async function, which would create a second promise for most of the calls.
    try {
      if (options?.tags !== undefined) return this.#setTagged([[key, value]], options)
      const storageKey = this.#storageKeyForWrite(key)
      const item = this.#entries.encode(storageKey, value)
      const ttl = this.#ttlOf(options)
      if (ttl === 0) return this.delete(key).then(() => {})
      return Promise.resolve(atCaller(this.#entries.store.set(storageKey, item, ttl), storageKey))
    } catch (error) {
      return Promise.reject(error)
    }
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
    checkEntries('setMany', entries)
    if (options?.tags !== undefined) return this.#setTagged([...entries], options)
    const encoded = Array.from(entries, ([key, value]) => {
      const storageKey = this.#storageKeyForWrite(key)
      return [storageKey, this.#entries.encode(storageKey, value)] as const
    })
    const ttl = this.#ttlOf(options)
    if (ttl === 0) await atCaller(this.#store.deleteMany(encoded.map(([key]) => key)))
    else await atCaller(this.#entries.store.setMany(encoded, ttl))
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
    const ttl = this.#ttlOf(options)
    if (options?.tags === undefined) {
      const item = this.#entries.encode(storageKey, value)
      return ttl !== 0 && (await atCaller(this.#updates.add(storageKey, item, ttl), storageKey))
    }
    const adding = this.#taggedWrites.write(
      [[storageKey, value]],
      options.tags,
      async (store, [entry]) =>
        ttl !== 0 && this.#updates.addTo(store, storageKey, entry?.[1], ttl),
    )
    return atCaller(adding, storageKey)
  }

  /** Stores the value only if one already exists. Returns whether it was stored. */
  async replace(key: string, value: unknown, options?: WriteOptions): Promise<boolean> {
    const storageKey = this.#keyspace.toStorageKey(key)
    const encoded = this.#taggedWrites.encode(storageKey, value, options?.tags)
    if (encoded instanceof Promise) encoded.catch(() => {}) // The read of the key may fail before.
    let isReplaced = false
    const replacing = this.#updates.update('replace', storageKey, async (current) => {
      const item = await encoded
      isReplaced = current !== undefined
      return isReplaced ? { item, ttl: this.#ttlOf(options) } : undefined
    })
    await atCaller(replacing, storageKey)
    return isReplaced
  }

  /**
   * Replaces the value by the result of `change`, which receives the current value (`undefined` if missing). A result
   * of `undefined` deletes the value. Returns the result. Concurrent writes are not lost: on a conflict, `change` is
   * called again with the newer value. It must therefore have no side effects. It must not call `update`, `replace`,
   * `pull` or `expire` for the same key either: in one process, these run one after another.
   *
   * @throws CacheError `ERR_CACHE_REJECTED` (retryable) after 100 conflicts; not retryable if `change` makes a call that
   * would wait for itself. `ERR_CACHE_TIMEOUT` if an earlier change of the key does not end for 10 seconds
   * @example
   * await cache.update<string[]>('recent', (recent = []) => ['lamp', ...recent].slice(0, 10))
   */
  async update<T>(
    key: string,
    change: (current: T | undefined) => Awaitable<T | undefined>,
    options?: WriteOptions,
  ): Promise<T | undefined> {
    checkFunction(change, 'update(key, (current) => next)')
    const storageKey = this.#keyspace.toStorageKey(key)
    let result: T | undefined
    const updating = this.#updates.update<T>('update', storageKey, async (current, flight) => {
      const facts = await this.#taggedWrites.factsOf(options?.tags)
      result = await runForFlight(flight, () => change(current))
      const item =
        result === undefined ? undefined : this.#entries.encode(storageKey, result, facts)
      return { item, ttl: this.#ttlOf(options) }
    })
    await atCaller(updating, storageKey)
    return result
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
    return atCaller(this.#updates.pull<T>(storageKey), storageKey)
  }

  /**
   * Reads a value in order to replace it later, for example after a request to another service: one read, and one
   * conditional write. The read is strong, unless `options` say otherwise.
   *
   * @example
   * const { value = [], replace } = await cache.snapshot<string[]>('recent')
   * console.log(await replace(['lamp', ...value])) // false if it has changed since
   */
  async snapshot<T = unknown>(key: string, options?: ReadOptions): Promise<Snapshot<T>> {
    const storageKey = this.#keyspace.toStorageKey(key)
    const { item, entry, staleMs } = await atCaller(
      this.#updates.read(storageKey, options),
      storageKey,
    )
    const value = this.#entries.publishRead<T>(storageKey, staleMs < 0 ? entry : undefined)
    return new EntrySnapshot<T>(storageKey, value, item, this.#snapshots)
  }

  /**
   * Returns the snapshot of a key that is expected to be missing, without a read. Its `replace` and `swap` store a value
   * only if it is a miss.
   *
   * @example
   * const stored = await cache.expectMissing<number>('order:1').swap(1)
   * console.log(stored?.value) // undefined if the key exists
   */
  expectMissing<T = unknown>(key: string): Snapshot<T> {
    const storageKey = this.#keyspace.toStorageKey(key)
    return new EntrySnapshot<T>(storageKey, undefined, undefined, this.#snapshots)
  }

  /**
   * Returns the value. On a miss, calls `load` and stores its result. Concurrent calls for the same key share one load, in
   * all processes: a lease in the key makes the others wait. Each caller receives the value as a later hit would return
   * it, decoded from the stored item: one caller cannot modify the value of another.
   *
   * If the key is written, deleted or cleared during the load, or one of its tags is invalidated, the loaded value is
   * returned to the callers that waited for it from the beginning, and not stored. Neither is `undefined`. If the store
   * fails, `load` is called nevertheless, and the failure is published on `stowage:error`. If two loaders call
   * `remember` for each other's key, one of the loads is executed twice, because neither could wait for the other.
   *
   * @throws CacheError `ERR_CACHE_TIMEOUT` after `timeout` or `loadTimeout`, `ERR_CACHE_LOAD` during `backoff`
   * @example
   * const loadUser = async (id: number) => ({ id, name: 'Ada' })
   * const user = await cache.remember('user:1', { ttl: '5m', staleWhileRevalidate: '1h' }, () => loadUser(1))
   * console.log(user.name)
   */
  remember<T>(
    key: string,
    options: RememberOptions<T>,
    // biome-ignore lint/suspicious/noExplicitAny: LoadContext<T> would make T unknown where it is inferred
    load: (context: LoadContext<any>) => Awaitable<T>,
  ): Promise<T> {
    return this.#loads.remember(key, options, load)
  }

  /**
   * Returns the values in the order of the keys, like {@link remember} for each of them, but in as few round trips as
   * possible: one read, one call of `load` with the keys that are missing and that no other call loads, and writes side
   * by side. Stale values are refreshed together in the background. A key for which `load` returns no value is
   * `undefined`, and not stored.
   *
   * If the load fails, the call rejects, unless `staleIfError` permits the stale values of all keys that it would have
   * loaded. With `timeout`, the call rejects if a key has neither a value nor a stale one by then. `loadTimeout` and
   * `lease` apply to each key, and `jitter` is drawn for each.
   *
   * @throws CacheError `ERR_CACHE_TIMEOUT` after `timeout` or `loadTimeout`, `ERR_CACHE_LOAD` during `backoff`
   * @example
   * const findUsers = async (ids: readonly string[]) => ids.map((id) => ({ id, name: 'Ada' }))
   * const users = await cache.rememberMany(['1', '2'], { ttl: '5m' }, async (missing) => {
   *   const found = await findUsers(missing)
   *   return new Map(found.map((user) => [user.id, user]))
   * })
   * console.log(users[0]?.name)
   */
  async rememberMany<T>(
    keys: readonly string[],
    options: RememberOptions<T>,
    load: LoadMany<T>,
  ): Promise<(T | undefined)[]> {
    return this.#loads.rememberMany(keys, options, load)
  }

  /**
   * Returns a function that calls `fn` through {@link remember}. Its keys consist of the name and the arguments.
   * `this` is not passed to `fn`, because the key does not depend on it: wrap an arrow function to call a method.
   *
   * @throws TypeError if a call has an argument that needs the option `key`
   * @example
   * const products = { find: async (id: number) => ({ id, name: 'Lamp' }) }
   * const findProduct = cache.wrap((id: number) => products.find(id), { name: 'product', ttl: '10m' })
   * console.log(await findProduct(1))
   * await findProduct.delete(1)
   */
  wrap<A extends unknown[], T>(
    fn: (...args: A) => Awaitable<T>,
    options: WrapOptions<A, T>,
  ): Wrapped<A, T> {
    return wrapFunction(this, fn, options)
  }

  /**
   * Defines how values of one kind are loaded and saved, and returns a collection whose methods do that through this
   * cache. The types of its values are those of the schema, or of the loader. `name` is the first part of its keys.
   *
   * @example
   * const users = cache.collection('user', {
   *   ttl: '10m',
   *   load: async (id: number) => ({ id, name: 'Ada' }),
   *   save: async (id, user) => console.log(`save ${id}: ${user.name}`),
   * })
   * console.log((await users.get(1))?.name)
   * await users.set(1, { id: 1, name: 'Grace' })
   */
  collection<Schema extends StandardSchema, Id = string>(
    name: string,
    definition: CollectionDefinition<Id, SchemaInput<Schema>, SchemaOutput<Schema>> & {
      readonly schema: Schema
    },
  ): Collection<Id, SchemaInput<Schema>, SchemaOutput<Schema>>
  collection<Value, Id = string>(
    name: string,
    definition: CollectionDefinition<Id, Value, Value> & { readonly schema?: undefined },
  ): Collection<Id, Value, Value>
  collection<Id, Stored, Value>(
    name: string,
    definition: CollectionDefinition<Id, Stored, Value>,
  ): Collection<Id, Stored, Value> {
    return new Collection(name, definition, this, this.#writeThrough())
  }

  /**
   * Makes the entry stale, so that the next `remember` refreshes it; or deletes it if it has no stale window. Returns
   * whether a fresh one existed.
   */
  async expire(key: string): Promise<boolean> {
    const storageKey = this.#keyspace.toStorageKey(key)
    return atCaller(this.#updates.expire(storageKey), storageKey)
  }

  /**
   * Makes every entry with one of the tags a miss, in all processes and in all namespaces of this cache; or stale, so
   * that the next `remember` refreshes it. One write per tag, however many entries have it. Call it after the
   * transaction that changes the data has been committed: a load before that reads the old data.
   *
   * @example
   * await cache.set('product:1', { name: 'Lamp' }, { tags: ['products'] })
   * await cache.invalidateTags('products')
   * console.log(await cache.get('product:1')) // undefined
   */
  async invalidateTags(
    tags: string | readonly string[],
    options: { readonly stale?: boolean } = {},
  ): Promise<void> {
    await atCaller(this.#root.tags.invalidate(checkTags([tags].flat()), options.stale === true))
  }

  /**
   * Returns a lock that one owner at a time can hold, in all processes. Makes no request. It always has a ttl: after the
   * end of a process, others wait for it at most that long. Locks of a cache with a prefix outlive `clear()`.
   *
   * @throws CacheError `ERR_CACHE_CONFIG` unless the ttl is positive, `ERR_CACHE_UNSUPPORTED` with the null driver
   * @example
   * const lock = cache.lock('report', { ttl: '30s' })
   * await lock.run(async ({ signal }) => {
   *   if (!signal.aborted) console.log('one at a time')
   * }, { wait: '10s' })
   */
  lock(name: string, options?: LockOptions): Lock {
    return this.#locks.lock(name, options)
  }

  /**
   * Returns a lock that another object, or another process, has acquired: to release or refresh it with the owner that was
   * passed on.
   *
   * @example
   * const lock = cache.lock('import')
   * if (await lock.acquire()) console.log(await cache.restoreLock('import', lock.owner).release()) // true
   */
  restoreLock(name: string, owner: string): Lock {
    return this.lock(name, { owner })
  }

  /**
   * Returns a rate limiter, which all processes share. Makes no request. `clear()` of a cache with a prefix does not reset
   * it. Only the time of the backend matters, not the clocks of the processes.
   *
   * @throws CacheError `ERR_CACHE_CONFIG` for an invalid option
   * @example
   * const logins = cache.rateLimit('login', { limit: 5, window: '1m' })
   * const { allowed, retryAfterMs } = await logins.consume('ada@example.com')
   * if (!allowed) console.log(`Try again in ${Math.ceil(retryAfterMs / 1_000)} s.`)
   */
  rateLimit(name: string, options: RateLimitOptions): RateLimiter {
    return this.#limits.rateLimit(name, options)
  }

  /**
   * Returns a limit of the calls that run at the same time, in all processes. Makes no request.
   *
   * @throws CacheError `ERR_CACHE_CONFIG` for an invalid option
   * @example
   * const exports = cache.concurrency('exports', { limit: 3 })
   * await exports.run(async ({ signal }) => {
   *   if (!signal.aborted) console.log('at most three at a time')
   * }, { wait: '10s' })
   */
  concurrency(name: string, options: ConcurrencyOptions): ConcurrencyLimit {
    return this.#limits.concurrency(name, options)
  }

  /**
   * Adds `by` to a counter and returns the sum, atomically. A missing counter starts at 0. The ttl applies when the
   * counter is created; later calls do not change the expiry. A counter has no tags.
   *
   * @throws TypeError unless `by` is a safe integer
   * @throws CacheError `ERR_CACHE_UNSUPPORTED` if the codec does not support counters, as `encrypted()`
   * @example
   * console.log(await cache.increment('visits', 1, { ttl: '1d' }))
   */
  async increment(key: string, by = 1, options?: TtlOptions): Promise<number> {
    assertInteger(by)
    const ttl = this.#ttlOf(options)
    const storageKey = this.#storageKeyForWrite(key)
    this.#entries.assertCounters(storageKey)
    // An expired ttl still returns the sum: a missing counter is created and expires after 1 ms.
    const expiry = ttl === 0 ? 1 : ttl
    return atCaller(this.#updates.increment(storageKey, by, expiry), storageKey)
  }

  /** Subtracts `by` from a counter, like `increment` with `-by`. Counters may become negative. */
  async decrement(key: string, by = 1, options?: TtlOptions): Promise<number> {
    assertInteger(by)
    return this.increment(key, -by, options)
  }

  /**
   * Sets a new expiry without reading or rewriting the value. Never creates a value. Returns whether it exists; also true
   * if it is being loaded. A value with a stale window becomes stale at the same time as before, and tags remain.
   *
   * @example
   * await cache.touch('user:1', { ttl: '1h' })
   */
  async touch(key: string, options?: TtlOptions): Promise<boolean> {
    const ttl = this.#ttlOf(options)
    const storageKey = ttl === 0 ? this.#storageKeyForWrite(key) : this.#keyspace.toStorageKey(key)
    const touching = ttl === 0 ? this.#store.delete(storageKey) : this.#store.touch(storageKey, ttl)
    return atCaller(touching, storageKey)
  }

  /** Deletes the value. Returns whether it existed; also true if it is being loaded. */
  async delete(key: string): Promise<boolean> {
    const storageKey = this.#storageKeyForWrite(key)
    return atCaller(this.#store.delete(storageKey), storageKey)
  }

  /** Deletes the values. Returns how many existed. */
  async deleteMany(keys: readonly string[]): Promise<number> {
    checkKeys('deleteMany', keys)
    return atCaller(this.#store.deleteMany(keys.map((key) => this.#storageKeyForWrite(key))))
  }

  /**
   * Deletes all entries with the prefix of this cache, or everything the store can reach if it has no prefix. On a
   * backend that cannot list its keys, other processes may still read the entries for up to one second.
   */
  async clear(): Promise<void> {
    const { prefix } = this.#keyspace
    this.#scope.invalidateAll(prefix)
    // A loaded value that is being stored could arrive after its key was looked for. Without one, the clear begins at once: a
    // call that is made after it must not come first.
    const writes = this.#scope.writesInFlight(prefix)
    if (writes.length > 0) await Promise.allSettled(writes)
    // Of a prefix whose keys cannot be listed, the store contains this generation only. The primary store keeps all others.
    if (prefix === '') await atCaller(this.#store.clear())
    else {
      recoveryOf(this.#root.directStore)?.noteClear(prefix)
      await atCaller(this.#deleteListed(prefix))
    }
    // A flight that began meanwhile may have read what is cleared now.
    this.#scope.invalidateAll(prefix)
  }

  /**
   * Lists the keys of this cache, also those of values that are being loaded. A key may be repeated, and a key that was
   * shortened for the backend is listed in its shortened form.
   *
   * @throws CacheError `ERR_CACHE_UNSUPPORTED` if the backend cannot list its keys
   * @example
   * for await (const key of cache.keys()) console.log(key)
   */
  async *keys(): AsyncGenerator<string, void, undefined> {
    const { prefix } = this.#keyspace
    for await (const page of listKeys(this.#store, prefix)) {
      for (const key of page) yield this.#keyspace.fromStorageKey(key)
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
  namespace(name: string, options?: NamespaceOptions): Cache {
    if (options !== undefined) return this.#createNamespace(name, options)
    const existing = this.#namespaces.get(name)
    if (existing !== undefined) return existing
    const created = this.#createNamespace(name)
    // Bounded for applications with a namespace per tenant. The state that caches of one name share is in their scope.
    if (this.#namespaces.size >= maxNamespaces) this.#namespaces.clear()
    this.#namespaces.set(name, created)
    return created
  }

  /**
   * Returns a cache with the same store and prefix that encodes values differently, or has another default ttl. An
   * option that is `undefined` has no effect. Writes and invalidations of one cache apply to the other.
   *
   * @example
   * const shortLived = cache.view({ ttl: '10s' })
   * await shortLived.set('status', 'ok')
   * console.log(await cache.get('status'))
   */
  view(options: {
    readonly codec?: Codec | undefined
    readonly ttl?: Duration | null | undefined
  }): Cache {
    const parent = { root: this.#root, path: this.#path }
    const own = { ...this.#options, name: this.name }
    return new Cache(this.#outerStore, mergeOptions(own, options), parent)
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
    await atCaller(this.#store.ping())
  }

  /**
   * Returns what is stored under a key, for tools: where, how large, how long, and with which tags. Neither returns the
   * value nor counts as a hit or miss.
   *
   * @example
   * const { state, bytes, ttlMs } = await cache.inspect('user:1')
   * console.log(state, bytes, ttlMs)
   */
  async inspect(key: string): Promise<Inspection> {
    const storageKey = this.#keyspace.toStorageKey(key)
    const store = this.#scope.store as unknown as AnyStore
    return inspectEntry({ storageKey, store, entries: this.#entries, reader: this.#reader })
  }

  /**
   * Checks every server of the backend, for tools: reachability, roles, settings. Resolves to `undefined` for a store
   * without diagnostics.
   *
   * @example
   * const report = await cache.check()
   * for (const { problem, remedy } of report?.findings ?? []) console.warn(problem, remedy)
   */
  async check(options?: CheckOptions): Promise<BackendReport | undefined> {
    const { prefix } = this.#keyspace
    return this.#outerStore.diagnostics?.check({ prefix, ...options })
  }

  /**
   * Closes the store, also for every other cache that shares it. Waits for the calls in flight. Those that need another
   * request then reject with `ERR_CACHE_CLOSED`: for example `update`, `clear`, and reads and writes of tagged values.
   * Idempotent.
   */
  async close(): Promise<void> {
    this.#root.near?.stop()
    await this.#scope.close()
    await this.#root.near?.close()
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

  #ttlOf(options: WriteOptions | undefined): number | undefined {
    if (options === undefined) return this.#ttl
    checkWriteOptions(options)
    const ttl = options?.ttl
    return ttl === undefined ? this.#ttl : resolveTtl(ttl, this.#clock)
  }

  #writeThrough(): WriteThrough {
    return new WriteThrough({
      entries: this.#entries,
      scope: this.#scope,
      root: this.#root,
      keyspace: this.#keyspace,
      clock: this.#clock,
      ttl: this.#ttl,
    })
  }

  #setTagged(
    entries: readonly (readonly [key: string, value: unknown])[],
    options: WriteOptions,
  ): Promise<void> {
    const stored = entries.map(([key, value]) => [this.#storageKeyForWrite(key), value] as const)
    const [only] = stored.length === 1 ? stored : []
    return atCaller(this.#taggedWrites.set(stored, options.tags, this.#ttlOf(options)), only?.[0])
  }

  get #loads(): RememberCalls {
    this.#rememberCalls ??= this.#createRememberCalls()
    return this.#rememberCalls
  }

  #createRememberCalls(): RememberCalls {
    const { codec = json(), waitUntil, remember: defaults } = this.#options
    const [entries, reader, keyspace] = [this.#entries, this.#reader, this.#keyspace]
    const [root, path, clock] = [this.#root, this.#path, this.#clock]
    const { activeLoads, passes, leaseHolders } = this.#scope
    const flights = this.#scope.flightsOf(codec)
    const shared = { flights, activeLoads, passes, leaseHolders }
    return new RememberCalls({
      loadScope: { entries, reader, ...shared, root, clock, waitUntil, keyspace },
      refreshKey: (key) => root.refreshKey(path + key),
      ...{ reader, keyspace, defaults, ttl: this.#ttl },
    })
  }

  /** Reads without copying. */
  get #uncopied(): EntryReader {
    const entries = this.#entries
    this.#sharedReader ??= new EntryReader(
      entries.withoutCopies(),
      this.#root,
      this.#scope.knownTags,
    )
    return this.#sharedReader
  }

  get #snapshots(): SnapshotWriter {
    this.#snapshotWriter ??= {
      jsonTextOf: (item) => this.#entries.jsonTextOf(item),
      encode: (storageKey, value, options) =>
        this.#taggedWrites.encode(storageKey, value, options?.tags),
      replace: (storageKey, seen, item, options) =>
        this.#updates.replaceSeen(storageKey, seen, { item, ttl: this.#ttlOf(options) }),
    }
    return this.#snapshotWriter
  }

  get #locks(): LockCalls {
    this.#lockCalls ??= new LockCalls({
      root: this.#root,
      path: this.#path,
      cache: this.name,
      clock: this.#clock,
      activeLoads: this.#scope.activeLoads,
      bus: this.#options.bus,
    })
    return this.#lockCalls
  }

  get #limits(): LimitCalls {
    this.#limitCalls ??= new LimitCalls({
      root: this.#root,
      path: this.#path,
      cache: this.name,
      clock: this.#clock,
      locks: this.#locks.context,
    })
    return this.#limitCalls
  }

  #createNamespace(name: string, options: NamespaceOptions = {}): Cache {
    const path = namespacePrefix(name)
    const prefix = this.#keyspace.prefix + path
    const parent = { root: this.#root, path: this.#path + path }
    const scoped = Object.assign(mergeOptions(this.#options, options), { name: this.name, prefix })
    return new Cache(this.#scope.store, scoped, parent)
  }

  /** Also drops the near entries of keys that other processes have deleted. */
  async #deleteListed(prefix: string): Promise<void> {
    try {
      for await (const page of listKeys(this.#store, prefix)) await this.#store.deleteMany(page)
    } finally {
      this.#root.near?.endClear(prefix)
    }
  }
}

/** What a namespace or a view shares with the cache that it was made from. */
interface CacheParent {
  readonly root: CacheRoot
  readonly path: string
}

function assertInteger(by: number): void {
  if (!Number.isSafeInteger(by)) throw new TypeError(`Not a safe integer: ${String(by)}.`)
}
