import type { AuditReport } from './audit/audit-report.ts'
import { CacheCalls, type Calls, observedCalls } from './cache-calls.ts'
import type { CacheOptions, NamespaceOptions } from './cache-options.ts'
import { type CacheParent, CacheParts } from './cache-parts.ts'
import type { ChangeOptions, ChangeWork } from './changing/change.ts'
import { Collection, type CollectionWrites } from './collections/collection.ts'
import type { CollectionDefinition } from './collections/collection-definition.ts'
import { ExactWrites } from './collections/exact-writes.ts'
import type { SchemaInput, SchemaOutput, StandardSchema } from './collections/standard-schema.ts'
import { WriteThrough } from './collections/write-through.ts'
import { recoveryOf } from './failover/store-recovery.ts'
import { namespacePrefix } from './keys.ts'
import type {
  ConcurrencyLimit,
  ConcurrencyOptions,
  RateLimiter,
  RateLimitOptions,
} from './limits/limit.ts'
import type { LoadContext } from './loading/load-context.ts'
import type { RememberOptions } from './loading/remember-options.ts'
import type { Lock, LockOptions } from './locks/lock.ts'
import type { NearStats } from './near/near-cache.ts'
import { checkEntries, checkIncrement } from './options/check-arguments.ts'
import { mergeOptions } from './options/check-options.ts'
import type { LoadMany } from './remember/remember-many.ts'
import { type WrapOptions, type Wrapped, wrapFunction } from './remember/wrap.ts'
import { CacheRoot } from './scope/cache-root.ts'
import { listKeys } from './scope/list-keys.ts'
import type { Awaitable, CacheStore, ReadOptions, StoreLimits } from './store.ts'
import type { Clock } from './time/clock.ts'
import type { Duration } from './time/duration.ts'
import { areCallsObserved, publishFailure } from './tracing/observed-call.ts'
import type { Snapshot } from './updates/entry-snapshot.ts'
import type { TtlOptions, WriteOptions } from './updates/tagged-writes.ts'
import type { Codec } from './values/codec.ts'

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
  readonly #parts: CacheParts
  readonly #unobserved: CacheCalls
  #observed: Calls | undefined
  readonly #namespaces = new Map<string, Cache>()

  constructor(store: CacheStore, options?: CacheOptions)
  /** @internal */
  constructor(store: CacheStore, options: CacheOptions, parent: CacheParent)
  constructor(store: CacheStore, options: CacheOptions = {}, parent?: CacheParent) {
    this.#parts = new CacheParts(store, options, parent)
    this.#unobserved = new CacheCalls(this.#parts)
    if (parent !== undefined) return
    const { near } = this.#parts.root
    const recovery = recoveryOf(store)
    recovery?.onOverflow(options.prefix ?? '', () => this.clear())
    if (near !== undefined) recovery?.onSettled((keys) => near.onSettled(keys))
  }

  /** For `@stowage/core/internal` and `@stowage/core/tools`, which extend this class. */
  get '~parts'(): object {
    return this.#parts
  }

  /** For `cacheOver` of `@stowage/core/internal`: this cache, over another store. */
  '~over'(store: CacheStore): Cache {
    const { options, keyspace, root, path, clock } = this.#parts
    const { prefix } = keyspace
    const copied = { ...options, name: this.name, prefix, near: undefined, bus: undefined }
    return new Cache(store, copied, { root: new CacheRoot(store, root.prefix, clock), path })
  }

  /** Name of the cache in events. */
  get name(): string {
    return this.#parts.name
  }

  /** Name of the driver of this cache. */
  get driver(): string {
    return this.#parts.store.name
  }

  /** Default time to live of entries, in milliseconds; `undefined` means they never expire. */
  get ttl(): number | undefined {
    return this.#parts.ttl
  }

  /** Whether values are stored by reference, so that mutating a returned value affects every caller. */
  get storesByReference(): boolean {
    return this.#parts.store.payload === 'entry'
  }

  /** Source of the current time. */
  get clock(): Clock {
    return this.#parts.clock
  }

  /** The near cache, if there is one. */
  get near(): { readonly stats: NearStats } | undefined {
    return this.#parts.root.near
  }

  /**
   * The audit, if the option `audit` is set. It compares a sample of the hits of `remember` and collections with the source
   * in the background. A value that differs is looked at again after 1 s, 1 min and 10 min: if the key still returns it, and
   * the source still has another one, an invalidation is missing. Each such finding is an event of `stowage:audit`.
   *
   * @example
   * const audited = new Cache(memory(), { ttl: '1h', audit: { sample: 1 / 1_000 } })
   * console.log(audited.audit?.report().nines['1m'])
   */
  get audit(): { report(): AuditReport } | undefined {
    return this.#parts.root.audit
  }

  /** The limits of the store. */
  get limits(): StoreLimits {
    return this.#parts.store.limits
  }

  /**
   * Returns the value, or `undefined` for a miss. `null` is a value. A value that is stale is a miss: only `remember`
   * returns it.
   *
   * @example
   * console.log(await cache.get<{ name: string }>('user:1'))
   * console.log(await cache.get('user:1', { consistency: 'strong' }))
   */
  get<T = unknown>(key: string, options?: ReadOptions): Promise<T | undefined> {
    return this.#calls.get(key, options)
  }

  /**
   * Returns the values in the order of the keys, with `undefined` for each miss, in as few round trips as possible.
   *
   * @example
   * const [ada, grace] = await cache.getMany<string>(['name:1', 'name:2'])
   * console.log(ada, grace)
   */
  getMany<T = unknown>(keys: readonly string[], options?: ReadOptions): Promise<(T | undefined)[]> {
    return this.#calls.getMany(keys, options)
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
    return this.#calls.set(key, value, options)
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
    const list = Array.isArray(entries) ? entries : [...entries]
    return this.#calls.setMany(list, options)
  }

  /**
   * Stores the value only if none exists, atomically. Returns whether it was stored. With a ttl of zero or less, it
   * never is.
   *
   * @example
   * const isFirst = await cache.add('welcome-mail:1', true, { ttl: '1d' })
   * if (isFirst) console.log('send the mail')
   */
  add(key: string, value: unknown, options?: WriteOptions): Promise<boolean> {
    return this.#calls.add(key, value, options)
  }

  /** Stores the value only if one already exists. Returns whether it was stored. */
  replace(key: string, value: unknown, options?: WriteOptions): Promise<boolean> {
    return this.#calls.replace(key, value, options)
  }

  /**
   * Replaces the value with the result of `change`, which receives the current value (`undefined` if missing). A result
   * of `undefined` deletes the value. Returns the result. Concurrent writes are not lost: on a conflict, `change` is
   * called again with the newer value. It must therefore have no side effects. It must not call `update`, `replace`,
   * `pull` or `expire` for the same key either: in one process, these run one after another.
   *
   * @throws CacheError `ERR_CACHE_REJECTED` (retryable) after 100 conflicts; not retryable if `change` makes a call that
   * would wait for itself. `ERR_CACHE_TIMEOUT` if an earlier change of the key does not end for 10 seconds
   * @example
   * await cache.update<string[]>('recent', (recent = []) => ['lamp', ...recent].slice(0, 10))
   */
  update<T>(
    key: string,
    change: (current: T | undefined) => Awaitable<T | undefined>,
    options?: WriteOptions,
  ): Promise<T | undefined> {
    return this.#calls.update(key, change, options)
  }

  /**
   * Returns the value and deletes it, atomically: of several concurrent calls, only one receives the value.
   *
   * @example
   * const message = await cache.pull<string>('flash:session-1')
   * if (message !== undefined) console.log(message)
   */
  pull<T = unknown>(key: string): Promise<T | undefined> {
    return this.#calls.pull(key)
  }

  /**
   * Reads a value to replace it later, for example after a request to another service: one read, and one conditional
   * write. The read is strong by default.
   *
   * @example
   * const { value = [], replace } = await cache.snapshot<string[]>('recent')
   * console.log(await replace(['lamp', ...value])) // false if it has changed since
   */
  snapshot<T = unknown>(key: string, options?: ReadOptions): Promise<Snapshot<T>> {
    return this.#calls.snapshot(key, options)
  }

  /**
   * Returns the value. On a miss, calls `load` and stores its result. Concurrent calls for the same key share one load, in
   * all processes: a lease in the key makes the others wait. Each caller receives the value as a later hit would return
   * it, decoded from the stored item: one caller cannot modify the value of another.
   *
   * If the key is written, deleted or cleared during the load, or one of its tags is invalidated, the loaded value is
   * returned to the callers that waited for it from the beginning, and not stored. Neither is `undefined`. If the store
   * fails, `load` is still called, and the failure is published on `stowage:error`. If two loaders call
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
    return this.#calls.remember(key, options, load)
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
  rememberMany<T>(
    keys: readonly string[],
    options: RememberOptions<T>,
    load: LoadMany<T>,
  ): Promise<(T | undefined)[]> {
    return this.#calls.rememberMany(keys, options, load)
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
    return new Collection(name, definition, this, this.#collectionWrites())
  }

  /**
   * Makes the entry stale, so that the next `remember` refreshes it; or deletes it if it has no stale window. Returns
   * whether a fresh one existed.
   */
  expire(key: string): Promise<boolean> {
    return this.#calls.expire(key)
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
  invalidateTags(
    tags: string | readonly string[],
    options: { readonly stale?: boolean } = {},
  ): Promise<void> {
    return this.#calls.invalidateTags(tags, options)
  }

  /**
   * Changes the source of cached values, without a moment in which a read that begins after the commit returns what the commit
   * has replaced: neither if this process ends at any point, nor if the invalidation is lost. Runs `work` while the keys and
   * tags have a mark, by which every read is a miss and loaded values are not stored. The marks end with `work`, whether it
   * succeeds or fails; without this process, after `for`. Resolves to the result of `work`, and rejects with its error.
   *
   * Takes two round trips before `work` and one after it, however many keys there are. Inside of `work`, `change.mark` marks
   * keys that are known only there, before the statement that changes them.
   *
   * @throws CacheError if a mark cannot be stored: `work` is not called then, unless `ifUnavailable` is `'proceed'`
   * @example
   * const source = new Map([['user:1', { name: 'Ada' }]])
   * await cache.changing({ keys: ['user:1'], tags: ['users'] }, async (change) => {
   *   source.set('user:1', { name: 'Grace' }) // usually a transaction
   *   await change.mark({ keys: ['user:2'] })
   *   source.delete('user:2')
   *   change.assertHeld()
   * })
   */
  changing<T>(options: ChangeOptions, work: ChangeWork<T>): Promise<T>
  changing<T>(work: ChangeWork<T>): Promise<T>
  changing<T>(options: ChangeOptions | ChangeWork<T>, work?: ChangeWork<T>): Promise<T> {
    return this.#parts.changes.run(options, work)
  }

  /**
   * Returns a lock that one owner at a time can hold, in all processes. Makes no request. It always has a ttl: others
   * wait at most that long for a process that has ended. Locks of a cache with a prefix outlive `clear()`.
   *
   * @throws CacheError `ERR_CACHE_CONFIG` unless the ttl is positive, `ERR_CACHE_UNSUPPORTED` with the null driver
   * @example
   * const lock = cache.lock('report', { ttl: '30s' })
   * await lock.run(async ({ signal }) => {
   *   if (!signal.aborted) console.log('one at a time')
   * }, { wait: '10s' })
   */
  lock(name: string, options?: LockOptions): Lock {
    return this.#parts.locks.lock(name, options)
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
    return this.#parts.limits.rateLimit(name, options)
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
    return this.#parts.limits.concurrency(name, options)
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
  increment(key: string, by = 1, options?: TtlOptions): Promise<number> {
    return this.#calls.increment(key, by, options)
  }

  /** Subtracts `by` from a counter, like `increment` with `-by`. Counters may become negative. */
  async decrement(key: string, by = 1, options?: TtlOptions): Promise<number> {
    checkIncrement(by)
    return this.increment(key, -by, options)
  }

  /**
   * Sets a new expiry without reading or rewriting the value. Never creates a value. Returns whether it exists; also true
   * if it is being loaded. A value with a stale window becomes stale at the same time as before, and tags remain.
   *
   * @example
   * await cache.touch('user:1', { ttl: '1h' })
   */
  touch(key: string, options?: TtlOptions): Promise<boolean> {
    return this.#calls.touch(key, options)
  }

  /** Deletes the value. Returns whether it existed; also true if it is being loaded. */
  delete(key: string): Promise<boolean> {
    return this.#calls.delete(key)
  }

  /** Deletes the values. Returns how many existed. */
  deleteMany(keys: readonly string[]): Promise<number> {
    return this.#calls.deleteMany(keys)
  }

  /**
   * Deletes all entries with the prefix of this cache, or everything the store can reach if it has no prefix. On a
   * backend that cannot list its keys, other processes may still read the entries for up to one second.
   */
  clear(): Promise<void> {
    return this.#calls.clear()
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
    const { prefix } = this.#parts.keyspace
    try {
      for await (const page of listKeys(this.#parts.store, prefix)) {
        for (const key of page) yield this.#parts.keyspace.fromStorageKey(key)
      }
    } catch (error) {
      publishFailure(this.#parts, 'keys', [], error)
      throw error
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
    const parent = { root: this.#parts.root, path: this.#parts.path }
    const own = { ...this.#parts.options, name: this.name }
    return new Cache(this.#parts.givenStore, mergeOptions(own, options), parent)
  }

  /**
   * Returns a short string that represents all writes of this process so far, for a cookie or a message to another
   * process: after {@link observe}, the `'session'` reads there include these writes. `''` if no replica lags behind.
   *
   * @example
   * const token = await cache.consistencyToken()
   * cache.observe(token) // in another process, with a cache on the same backend
   */
  async consistencyToken(): Promise<string> {
    return (await this.#parts.store.consistencyToken?.()) ?? ''
  }

  /** Makes later `'session'` reads include the writes of a token from another process. Ignores invalid tokens. */
  observe(token: string): void {
    // A request may have none, although the type says so.
    if (typeof token === 'string') this.#parts.store.observe?.(token)
  }

  /** Resolves if the backend replies now. */
  ping(): Promise<void> {
    return this.#calls.ping()
  }

  /**
   * Closes the store, also for every other cache that shares it. Waits for the calls in flight. Those that need another
   * request then reject with `ERR_CACHE_CLOSED`: for example `update`, `clear`, and reads and writes of tagged values.
   * Idempotent.
   */
  async close(): Promise<void> {
    this.#parts.root.near?.stop()
    this.#parts.root.audit?.stop(new Error('The cache was closed.'))
    try {
      await this.#parts.scope.close()
    } finally {
      await this.#parts.root.near?.close()
    }
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

  get #calls(): Calls {
    if (!areCallsObserved()) return this.#unobserved
    this.#observed ??= observedCalls(this.#parts, this.#unobserved)
    return this.#observed
  }

  #collectionWrites(): CollectionWrites {
    const { entries, scope, root, keyspace, clock, ttl, changes } = this.#parts
    const context = { entries, scope, root, keyspace, clock, ttl, changes }
    return { writes: new WriteThrough(context), exact: new ExactWrites(context) }
  }

  #createNamespace(name: string, options: NamespaceOptions = {}): Cache {
    const path = namespacePrefix(name)
    const prefix = this.#parts.keyspace.prefix + path
    const parent = { root: this.#parts.root, path: this.#parts.path + path }
    const scoped = Object.assign(mergeOptions(this.#parts.options, options), {
      name: this.name,
      prefix,
    })
    return new Cache(this.#parts.scope.store, scoped, parent)
  }
}
